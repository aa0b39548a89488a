//! Tests a day at a model repository, with real git, git-lfs and a server that accepts pushes: each command other than
//! the work itself was named in the output before it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::clone::{ID, World};
use crate::convert::torch::{Float32, checkpoint};
use crate::hub::{Builder, Right};
use crate::sandbox::{BIN, Output};

const TOKEN: &str = "hf_TheTokenOfTheOwner";

/// Returns a model after some epochs of training.
fn trained(name: &str, epoch: u8) -> Vec<u8> {
    let bytes = vec![epoch; 4096 + 4 * usize::from(epoch)];
    let shape = vec![u32::try_from(bytes.len() / 4).unwrap()];
    checkpoint(&[Float32 { name: name.to_owned(), shape, bytes }])
}

/// A user with a clone of the model.
struct Person<'a> {
    world: &'a World,
    dir: PathBuf,
}

impl<'a> Person<'a> {
    /// Clones with git itself, as the owner of the model.
    fn new(world: &'a World, name: &str) -> Self {
        let url = world.hub.url(ID).replacen("://", &format!("://owner:{TOKEN}@"), 1);
        let person = Self { world, dir: world.home().join(name) };
        world.git(&world.home(), &["clone", "-q", &url, name]);
        person
    }

    /// Runs a line in a shell, as if it were pasted.
    fn shell(&self, line: &str) -> Output {
        let bin = Path::new(BIN).parent().unwrap().display();
        let script = format!("PATH='{bin}':\"$PATH\"; {line}");
        let mut shell =
            self.world.sandbox.command("sh".as_ref(), &self.dir, &["-c".as_ref(), script.as_ref()]);
        shell.env("HF_ENDPOINT", self.world.hub.endpoint()).env("HF_TOKEN", TOKEN);
        shell.output().unwrap().into()
    }

    #[track_caller]
    fn ok(&self, line: &str) -> String {
        let output = self.shell(line);
        assert_eq!(output.code, Some(0), "{line}: {output:#?}");
        output.stdout + &output.stderr
    }

    /// Runs the only command of a text that begins so. Returns its output.
    #[track_caller]
    fn next(&self, said: &str, begins: &str) -> String {
        self.ok(&command(said, begins))
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.dir.join(path)).unwrap()
    }
}

/// Returns the command of a text that begins so.
#[track_caller]
fn command(said: &str, begins: &str) -> String {
    let commands: Vec<_> = said.split('`').skip(1).step_by(2).filter(|one| one.starts_with(begins)).collect();
    let [first, ..] = commands.as_slice() else { panic!("no `{begins}` in {said}") };
    (*first).to_owned()
}

/// Returns a model whose first checkpoint was committed before the hooks were installed.
fn model() -> Builder {
    let mut model = Builder::new();
    model.file("config.json", "{}\n").lfs("vae/pytorch_model.bin", trained("vae", 1)).commit("first");
    model
}

#[test]
fn from_training_to_a_clean_clone_by_what_is_said() {
    let world = World::with(&model());
    if !world.set_up_lfs() {
        return;
    }
    world.hub.add_token(TOKEN, "owner", Right::Write);
    let owner = Person::new(&world, "owner");
    // `status` shows the state and the next command.
    let said = owner.ok("git st-convert status");
    assert!(said.contains("Not converted (1)"), "{said}");
    owner.next(&said, "git st-convert hook install");
    let converted = owner.next(&said, "git st-convert");
    owner.next(&converted, "git commit");
    owner.ok("git push -q");
    // The user trains, stages and commits; the hook rejects, and its hint is followed.
    owner.write("pytorch_model.bin", &trained("unet", 1));
    owner.ok("git add pytorch_model.bin");
    let refused = owner.shell("git commit -q -m 'trained'");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let converted = owner.next(&refused.stderr, "git st-convert");
    assert_eq!(owner.read("pytorch_model.bin"), trained("unet", 1), "the only copy");
    owner.next(&converted, "git commit");
    owner.ok("git push");
    // An untracked and a tracked checkpoint were trained again, and are not staged.
    owner.write("pytorch_model.bin", &trained("unet", 2));
    owner.write("vae/pytorch_model.bin", &trained("vae", 2));
    let said = owner.ok("git st-convert status");
    assert!(said.contains("Stale: the checkpoint changed since (2)"), "{said}");
    let converted = owner.next(&said, "git st-convert");
    assert_eq!(converted.matches("(updated)").count(), 2, "{converted}");
    owner.next(&converted, "git commit");
    let said = owner.ok("git st-convert status");
    assert!(!said.contains("Stale") && said.contains("2 safetensors files up to date"), "{said}");
    owner.ok("git push");
    takes_a_pull_request(&world, &owner);
    replaces(&owner);
    owner.ok("git push");
    // In another clone, nothing is to be done.
    let elsewhere = world.run_as(TOKEN, &world.home(), &["clone", ID, "elsewhere", "--no-convert"]);
    assert_eq!(elsewhere.code, Some(0), "{elsewhere:#?}");
    let elsewhere = Person { world: &world, dir: world.home().join("elsewhere") };
    let said = elsewhere.ok("git st-convert status --exit-code");
    assert!(said.starts_with("3 safetensors files without a checkpoint\n"), "{said}");
    assert_eq!(elsewhere.ok("git status --porcelain"), "");
}

fn takes_a_pull_request(world: &World, owner: &Person<'_>) {
    // A colleague adds a checkpoint, and the pull request of another user converts it.
    let colleague = Person::new(world, "colleague");
    colleague.write("text/pytorch_model.bin", &trained("text", 1));
    colleague.ok("git add text/pytorch_model.bin && git commit -q -m 'text' && git push -q");
    let helper = Person::new(world, "helper");
    helper.ok("git st-convert text");
    helper.ok("git st-convert publish");
    owner.ok("git pull -q");
    let listed = owner.ok("git st-convert pull");
    let take = command(&listed, "git st-convert pull");
    let verified = owner.ok(&take.replace("pull ", "verify --pr "));
    assert!(verified.contains("text/model.safetensors: identical"), "{verified}");
    let taken = owner.ok(&take);
    assert!(taken.contains("fast-forwarded to pull request 1"), "{taken}");
    // The index is as recent as the checkpoint, so it is no evidence that the checkpoint changed.
    let said = owner.ok("git st-convert status");
    assert!(!said.contains("Stale"), "{said}");
    if said.contains("Unverified") {
        owner.next(&said, "git st-convert verify");
    }
    assert!(owner.ok("git st-convert status").contains("3 safetensors files up to date"));
}

fn replaces(owner: &Person<'_>) {
    // The checkpoints are removed. One has unstaged changes, and the hint resolves that.
    let replaced = owner.shell("git st-convert --replace --commit");
    assert_eq!(replaced.code, Some(1), "{replaced:?}");
    owner.next(&replaced.stderr, "git add");
    owner.ok("git st-convert --replace --commit");
    assert_eq!(owner.ok("git ls-files '*.bin'"), "");
    assert_eq!(owner.read("vae/pytorch_model.bin"), trained("vae", 2), "the only copy");
    for is_here in [true, false] {
        let verified = owner.ok("git st-convert verify");
        assert_eq!(verified.matches("identical").count(), 3, "{verified}");
        // Without a checkpoint next to it, the record identifies it.
        if is_here {
            fs::remove_file(owner.dir.join("vae/pytorch_model.bin")).unwrap();
        }
    }
}
