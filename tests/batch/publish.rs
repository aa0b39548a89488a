//! Tests a batch that publishes: each model gets one pull request, even in several runs.

use serde_json::json;

use super::{Fleet, fixture, id, lines, model, names, oid_of};
use crate::hub::{Access, Fault, Place, Right, Status};
use crate::sandbox::Output;

const TOKEN: &str = "hf_TheTokenOfAHelper";

fn run(fleet: &Fleet, args: &[&str]) -> Output {
    let mut command = fleet.command(&[&["models.txt", "--publish", "--json"], args].concat());
    command.env("HF_TOKEN", TOKEN).output().unwrap().into()
}

/// Returns the open pull requests of a model.
fn open(fleet: &Fleet, id: &str) -> Vec<u64> {
    let all = fleet.hub.discussions(id).into_iter();
    all.filter(|one| one.is_pull_request && one.status == Status::Open).map(|one| one.number).collect()
}

#[test]
fn one_pull_request_for_each_model_however_often_it_is_run() {
    for args in [&[][..], &["--dir", "out"]] {
        let fleet = Fleet::of(3);
        fleet.hub.add_token(TOKEN, "helper", Right::Contribute);
        fleet.hub.add_model(&id(3), &model(&fixture("posix-system.bin")));
        fleet.hub.add_model(&id(4), &model(&fixture("dtype-int8.bin")));
        fleet.hub.set_access(&id(4), Access::Gated);
        fleet.list(&(0..5).map(id).collect::<Vec<_>>());
        // The pull request of the second model cannot be opened at first.
        let place = format!("/api/models/{}/discussions", id(1));
        fleet.hub.inject(Fault::Status(500).at(Place::path(&place)));
        let output = run(&fleet, args);
        assert_eq!(output.code, Some(2), "{output:#?}");
        let told = lines(&output.stdout);
        let published =
            |line: &serde_json::Value| (line["status"].clone(), line["published"]["status"].clone());
        assert_eq!(published(&told[0]), (json!("converted"), json!("opened")), "{:#}", told[0]);
        assert_eq!(
            (published(&told[1]), &told[1]["cause"]),
            ((json!("failed"), json!(null)), &json!("server"))
        );
        assert_eq!(published(&told[3]), (json!("refused"), json!(null)));
        assert_eq!(open(&fleet, &id(0)), [told[0]["published"]["number"].as_u64().unwrap()]);
        assert_eq!((open(&fleet, &id(1)).len(), open(&fleet, &id(3)).len()), (0, 0));

        fleet.hub.heal();
        fleet.hub.forget_requests();
        fleet.hub.set_access(&id(4), Access::Public);
        let output = run(&fleet, args);
        let asked = fleet.asked();
        assert!(!asked.contains(&id(0)) && !asked.contains(&id(2)) && asked.contains(&id(1)), "{asked:?}");
        let told = lines(&output.stdout);
        assert_eq!(published(&told[0]), (json!("converted"), json!("opened")), "{output:#?}");
        for number in [0, 1, 2, 4] {
            let [request] = open(&fleet, &id(number))[..] else { panic!("{number}: {output:#?}") };
            let file = fleet.hub.rev(&id(number), &format!("refs/pr/{request}:model.safetensors"));
            assert!(file.is_some(), "{number}");
        }
        let git_dir = fleet.hub.git_dir(&id(4));
        let request = open(&fleet, &id(4))[0];
        let blob = ["cat-file", "blob", &format!("refs/pr/{request}:model.safetensors")].map(str::to_owned);
        assert!(fleet.sandbox.git(&git_dir, &blob).contains(&oid_of("dtype-int8.bin")));
        // Without the journal all models are processed again, and no second pull request is opened.
        let journal = if args.is_empty() { "models.txt.journal.jsonl" } else { "out/st-convert-batch.jsonl" };
        std::fs::remove_file(fleet.home().join(journal)).unwrap();
        let told = lines(&run(&fleet, args).stdout);
        assert_eq!(told[0]["published"]["status"], "exists", "{:#}", told[0]);
        assert!((0..3).all(|number| open(&fleet, &id(number)).len() == 1));
        assert_eq!(names(&fleet.temp()), [""; 0]);
    }
}

#[test]
fn without_a_token_nothing_is_begun() {
    let fleet = Fleet::of(1);
    let output = fleet.run(&["models.txt", "--publish"]);
    assert_eq!(output.code, Some(2));
    assert!(
        output.stderr.starts_with("error: opening a pull request requires a token\n"),
        "{}",
        output.stderr
    );
    assert_eq!(
        (fleet.hub.requests().len(), fleet.home().join("models.txt.journal.jsonl").exists()),
        (0, false)
    );
}
