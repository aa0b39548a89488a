//! Tests a publication by a transfer agent of the user, and the message without one.

use std::fs;
use std::path::Path;

use super::*;

/// The header of the action that the hub gives.
const SECRET: &str = "pw-for-the-agent-alone";

impl Desk {
    /// Sets up the agent of `tests/remote`, which shares the storage of the hub.
    fn set_up_agent(&self, name: &str, mode: &str) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/remote/agent.py");
        let store = self.world.hub.object(ID, "x").parent().unwrap().to_owned();
        let args = format!("'{}' '{}' {mode}", script.display(), store.display());
        self.git(&["config", &format!("lfs.customtransfer.{name}.path"), "python3"]);
        self.git(&["config", &format!("lfs.customtransfer.{name}.args"), &args]);
    }
}

fn has_python() -> bool {
    #[expect(clippy::disallowed_methods, reason = "looks for the interpreter of the agent")]
    let python = Command::new("python3").args(["-c", "pass"]).status();
    let is_here = python.is_ok_and(|status| status.success());
    if !is_here {
        crate::clone::skipped("the transfer agent of the tests needs python3");
    }
    is_here
}

#[test]
fn an_agent_that_the_hub_chooses_sends_what_is_published() {
    if !has_python() {
        return;
    }
    let desk = Desk::new();
    desk.set_up_agent("xet", "");
    desk.world.hub.prefer_transfer(Some("xet"), SECRET);
    desk.world.hub.keep_in_xet();
    let mut command = desk.command(&["publish", "-vv"]);
    for name in ["HUGGING_FACE_HUB_TOKEN", "HF_OIDC_ID_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"] {
        command.env(name, format!("{TOKEN}-of-{name}"));
    }
    let output: Output = command.env("GIT_TRACE", "0").env("KEPT", "as it is").output().unwrap().into();
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stderr.contains(" by transfer agent xet\n"), "{output:#?}");
    assert!(!output.stderr.contains("git-xet"), "{output:#?}");
    for secret in [SECRET, TOKEN] {
        assert!(!output.stderr.contains(secret) && !output.stdout.contains(secret), "{output:#?}");
    }
    let store = desk.world.hub.object(ID, "x").parent().unwrap().to_owned();
    let oid = Oid::of(&desk.read("model.safetensors"));
    assert!(fs::read(store.join(oid.to_string())).unwrap() == desk.read("model.safetensors"));
    // The user's secrets are not in the environment of a program that gets what it needs in another way.
    let environment = fs::read_to_string(store.join("environment")).unwrap();
    assert!(environment.contains("KEPT=as it is\n") && environment.contains("HOME="), "{environment}");
    assert!(!environment.contains("GIT_TRACE="), "{environment}");
    // The token of the Hub is there only for git's helper.
    let with_token: Vec<_> = environment.lines().filter(|line| line.contains(TOKEN)).collect();
    assert_eq!(with_token, [format!("GIT_ST_CONVERT_TOKEN={TOKEN}")], "{environment}");
    assert!(!environment.contains("GIT_DIR=") && !environment.contains("GIT_INDEX_FILE="), "{environment}");
    let log = fs::read_to_string(store.join("log")).unwrap();
    assert!(log.contains(SECRET) && log.contains(r#""remote":"origin""#), "{log}");
    let line = desk.published(&["--force"]);
    assert_eq!((&line["sent"], &line["agent"]), (&Value::from(0), &Value::Null));
}

#[test]
fn an_agent_that_requires_a_login_gets_it_from_git_for_the_hub_alone() {
    if !has_python() {
        return;
    }
    let desk = Desk::new();
    desk.set_up_agent("xet", "ask");
    desk.world.hub.prefer_transfer(Some("xet"), SECRET);
    // Settings of the user in the environment still apply.
    let mut command = desk.command(&["publish"]);
    command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "credential.https://other.example.helper");
    command.env("GIT_CONFIG_VALUE_0", "!f() { echo username=u; echo password=theirs; }; f");
    let output: Output = command.output().unwrap().into();
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stderr.contains(" by transfer agent xet\n"), "{output:#?}");
    let store = desk.world.hub.object(ID, "x").parent().unwrap().to_owned();
    let logins: [String; 2] = serde_json::from_slice(&fs::read(store.join("logins")).unwrap()).unwrap();
    assert!(logins[0].contains(&format!("\npassword={TOKEN}\n")), "{logins:?}");
    assert!(logins[1].contains("\npassword=theirs\n"), "{logins:?}");
}

#[test]
fn where_the_hub_has_xet_and_nobody_speaks_it_one_note_says_what_that_costs() {
    let desk = Desk::new();
    desk.world.hub.keep_in_xet();
    let output = desk.publish(&[]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let note = "the Hub keeps this model in Xet storage: git-xet ";
    assert_eq!(output.stderr.matches(note).count(), 1, "{output:#?}");
    let size = desk.read("model.safetensors").len();
    let line = desk.published(&["--force"]);
    assert_eq!(line["sent"], 0, "it is there: {size} bytes");
    let other = Desk::new();
    let output = other.publish(&[]);
    assert!(output.stderr.contains("uploaded ") && !output.stderr.contains("Xet"), "{output:#?}");
    assert!(!output.stderr.contains("the server has the rest"), "{output:#?}");
}
