//! Tests tokens that expire, and authentication without a password.

use std::fs;

use git_st_convert::remote::{Error, Secret, Settings};

use super::{ID, TOKEN, World, everything, hub_of};
use crate::hub::{Access, Seen};

/// Returns the settings of a user whose saved token expires at this time, in seconds since 1970.
fn saved(world: &World, end: u64) -> Settings {
    let home = world.sandbox.path("hf");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("token"), TOKEN).unwrap();
    let stored =
        format!("[mine]\nhf_token = {TOKEN}\nrefresh_token = hf_TheRefreshToken\nexpires_at = {end}\n\n");
    fs::write(home.join("stored_tokens"), stored).unwrap();
    let mut settings = world.settings(&[]);
    settings.tokens.hf_home = Some(home);
    settings
}

const PAST: u64 = 1_700_000_000;
const FUTURE: u64 = 9_000_000_000;

#[test]
fn a_token_that_has_run_out_is_known_before_anybody_says_so() {
    let world = World::new();
    let bears = || world.hub.requests().iter().filter(|seen| seen.carries(TOKEN)).count();
    assert!(world.stream(saved(&world, FUTURE)).unwrap() == world.content);
    assert!(bears() > 0);
    world.reset();
    // A public model needs no token.
    assert!(world.stream(saved(&world, PAST)).unwrap() == world.content);
    assert_eq!(bears(), 0);
    world.hub.set_access(ID, Access::Private);
    let error = world.stream(saved(&world, PAST)).unwrap_err();
    assert!(matches!(error, Error::TokenExpired { .. }), "{}", everything(&error));
    assert!(!everything(&error).contains("hf_"), "{}", everything(&error));
    // A token of the environment replaces the saved one.
    let mut settings = saved(&world, PAST);
    settings.tokens.hf_token = Some(Secret::new(TOKEN));
    assert!(world.stream(settings).unwrap() == world.content);
    world.reset();
    // An upload needs a login.
    let settings = saved(&world, PAST);
    let asked =
        world.ask_for("refs/pr/1", settings.clone(), &[], |server, _| server.plan_upload(&[world.pointer]));
    assert!(matches!(asked.unwrap(), Err(Error::TokenExpired { .. })));
    assert!(matches!(hub_of(settings).account(), Err(Error::TokenExpired { .. })));
    assert!(world.hub.requests().is_empty());
    assert!(world.hub.requests().iter().all(|seen| !seen.carries("hf_TheRefreshToken")));
}

/// Returns `true` if git passes on the other schemes of a helper: from 2.46 on.
fn knows_ways(world: &World) -> bool {
    let version = world.sandbox.git(&world.repo, &["version"]);
    let mut numbers = version.trim_start_matches("git version ").split('.');
    let mut number = || numbers.next().and_then(|text| text.trim().parse::<u32>().ok()).unwrap_or(0);
    let knows = (number(), number()) >= (2, 46);
    if !knows {
        crate::clone::skipped(
            "git is older than 2.46: helpers that give other ways than a password were not asked",
        );
    }
    knows
}

#[test]
fn a_helper_may_give_a_way_of_its_own() {
    let world = World::new();
    if !knows_ways(&world) {
        return;
    }
    world.hub.set_access(ID, Access::Private);
    let log = world.sandbox.path("helper.log");
    let (log, helper) = (log.display(), |credential: &str, more: &str| {
        format!(
            "!f() {{ input=$(cat); printf '%s %s\\n' \"$1\" \"$input\" >>'{}'; [ \"$1\" != get ] || \
             printf 'capability[]=authtype\\nauthtype=Bearer\\ncredential={credential}\\n{more}'; }}; f",
            world.sandbox.path("helper.log").display()
        )
    });
    let set = |helper: &str| {
        world.sandbox.git(&world.repo, &["config", "--replace-all", "credential.helper", ""]);
        world.sandbox.git(&world.repo, &["config", "--add", "credential.helper", helper]);
    };
    set(&helper(TOKEN, "ephemeral=0\\n"));
    assert!(world.stream(world.settings(&[])).unwrap() == world.content);
    let seen = world.hub.requests();
    let batch = |seen: &&Seen| seen.path().ends_with("/objects/batch");
    let last = seen.iter().rfind(batch).unwrap();
    assert_eq!(last.header("Authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert!(seen.iter().filter(|seen| !batch(seen)).all(|seen| !seen.carries(TOKEN)));
    let told = fs::read_to_string(log.to_string()).unwrap();
    assert!(told.contains("get capability[]=authtype") && told.contains("store "), "{told}");
    assert!(world.lines.lock().unwrap().iter().all(|line| !line.contains(TOKEN)));
    // A refused token is reported as the helper's, and erased there; it is not shown.
    set(&helper("hf_TheWrongOne", ""));
    let error = world.stream(world.settings(&[])).unwrap_err();
    assert!(error.to_string().contains("git's credential helper"), "{}", everything(&error));
    assert!(!everything(&error).contains("hf_TheWrongOne"));
    assert!(fs::read_to_string(log.to_string()).unwrap().contains("erase "));
}
