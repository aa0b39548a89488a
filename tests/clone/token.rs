//! Tests that only the right server gets a token.

use std::fs;

use super::{ID, World};
use crate::hub::{Access, Fault, Place, Right, To};
use crate::sandbox::Output;

const TOKEN: &str = "hf_secret_of_the_tests";

fn world() -> World {
    let world = World::new();
    world.hub.set_access(ID, Access::Private);
    world.hub.add_token(TOKEN, "reader", Right::Read);
    world
}

/// Returns the file below this directory that contains the token, if there is one.
fn is_kept(dir: &std::path::Path) -> Option<std::path::PathBuf> {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if let Some(found) = is_kept(&path) {
                return Some(found);
            }
        } else if String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(TOKEN) {
            return Some(path);
        }
    }
    None
}

#[test]
fn a_token_opens_a_private_model_and_is_kept_and_shown_nowhere() {
    let world = world();
    // This helper would store every credential that it gets.
    let store = format!("store --file={}", world.sandbox.path("kept").display());
    world.git(&world.home(), &["config", "--global", "credential.helper", &store]);
    let mut command = world.command(&world.home(), &["clone", ID, "--no-convert", "-vv"]);
    let output: Output = command.env("HF_TOKEN", TOKEN).env("GIT_TRACE", "2").output().unwrap().into();
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(!output.stderr.contains(TOKEN) && !output.stdout.contains(TOKEN));
    assert!(world.hub.requests().iter().any(|seen| seen.carries(TOKEN)));
    assert_eq!(is_kept(&world.sandbox.path("")), None);
    let config = fs::read_to_string(world.home().join("bert/.git/config")).unwrap();
    assert!(!config.contains("helper") && !config.contains("Authorization"), "{config}");
}

#[test]
fn a_token_goes_to_no_other_origin() {
    let world = world();
    let other = world.hub.open_origin();
    // A repository at another origin requests a password.
    let output = world.run_as(TOKEN, &world.home(), &["clone", &format!("{other}/{ID}")]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("authentication required"), "{output:#?}");
    // The endpoint redirects to another origin, before and after it got the token.
    for after in [0, 1, 2, 3] {
        world.hub.heal();
        world.hub.inject(Fault::Redirect(307, To::Origin(other.clone())).at(Place::git(ID)).after(after));
        let _whatever =
            world.run_as(TOKEN, &world.home(), &["clone", ID, &format!("to-{after}"), "--no-convert"]);
    }
    let seen = world.hub.requests();
    assert!(seen.iter().any(|seen| seen.origin == other), "the redirect was followed");
    for request in &seen {
        assert!(request.origin == world.hub.endpoint() || !request.carries(TOKEN), "{request:?}");
    }
    assert!(seen.iter().any(|seen| seen.carries(TOKEN)));
}

#[test]
fn a_public_model_is_cloned_without_showing_the_token() {
    let world = world();
    world.hub.set_access(ID, Access::Public);
    let output = world.run_as(TOKEN, &world.home(), &["clone", ID, "--no-convert"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(!world.hub.requests().iter().any(|seen| seen.carries(TOKEN)));
}

#[test]
fn the_password_of_a_url_is_not_shown() {
    let world = world();
    let url = world.hub.url(ID).replace("://", &format!("://reader:{TOKEN}@"));
    let output = world.run(&world.home(), &["clone", &url, "--no-convert", "-vv", "--json"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(!output.stderr.contains(TOKEN) && !output.stdout.contains(TOKEN), "{output:#?}");
    assert!(output.stdout.contains("reader:***@"), "{}", output.stdout);
    let output = world.run(&world.home(), &["clone", &format!("{url}x")]);
    assert_eq!(output.code, Some(2));
    assert!(!output.stderr.contains(TOKEN), "{output:#?}");
}

#[test]
fn a_helper_of_the_person_answers_where_there_is_no_token() {
    let world = world();
    let kept = world.sandbox.path("kept");
    fs::write(
        &kept,
        world.hub.endpoint().replace("://", &format!("://reader:{TOKEN}@")).replace("1:", "1%3a") + "\n",
    )
    .unwrap();
    let store = format!("store --file={}", kept.display());
    world.git(&world.home(), &["config", "--global", "credential.helper", &store]);
    world.clone(&[]);
}
