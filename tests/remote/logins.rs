//! Tests which login a request contains, in which order they are tried, and the messages to git's credential helpers.

use std::fs;

use git_st_convert::remote::{CredentialSource, Error, Settings};

use super::{ID, TOKEN, World, everything};
use crate::hub::{Access, Fault, Place, Seen, To};

/// Creates a world with a private model, and settings without a token.
fn private() -> World {
    let world = World::new();
    world.hub.set_access(ID, Access::Private);
    world
}

fn netrc(world: &World, settings: Settings, text: &str) -> Settings {
    let path = world.sandbox.path("netrc");
    fs::write(&path, text).unwrap();
    Settings { netrc: Some(path), ..settings }
}

/// Creates a credential helper that logs its input, and knows this password for the hub's host and port.
fn helper(world: &World, password: &str) {
    let log = world.sandbox.path("helper.log");
    let hub = world.hub.endpoint();
    let host = hub.trim_start_matches("http://");
    let script = format!(
        "!f() {{ input=$(cat); printf '%s\\n%s\\n--\\n' \"$1\" \"$input\" >>'{}'; \
         case \"$input\" in *host={host}*) [ \"$1\" != get ] || printf 'username=owner\\npassword={password}\\n';; esac; }}; f",
        log.display()
    );
    world.sandbox.git(&world.repo, &["config", "--add", "credential.helper", &script]);
}

/// Returns the input of the helper: `get`, `store`, `erase`, each with its lines.
fn told(world: &World) -> Vec<String> {
    let log = fs::read_to_string(world.sandbox.path("helper.log")).unwrap_or_default();
    log.split("--\n").filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

fn batches(world: &World) -> Vec<Seen> {
    world.hub.requests().into_iter().filter(|seen| seen.path().ends_with("/objects/batch")).collect()
}

/// Returns `Basic`, `Bearer` or nothing for each batch request.
fn kinds(world: &World) -> Vec<String> {
    let kind = |seen: &Seen| {
        seen.header("Authorization").map_or("", |value| value.split(' ').next().unwrap()).to_owned()
    };
    batches(world).iter().map(kind).collect()
}

#[test]
fn the_token_is_sent_at_once_and_nothing_else_is_asked() {
    let world = private();
    helper(&world, TOKEN);
    let settings =
        netrc(&world, world.with_token(&[]), &format!("machine 127.0.0.1 login o password {TOKEN}"));
    assert_eq!(world.stream(settings).unwrap(), world.content);
    assert_eq!(kinds(&world), ["Bearer"]);
    assert!(told(&world).is_empty());
}

#[test]
fn the_first_request_is_bare_and_a_netrc_file_comes_next() {
    let world = private();
    helper(&world, TOKEN);
    let settings = netrc(&world, world.settings(&[]), &format!("machine 127.0.0.1 login o password {TOKEN}"));
    assert_eq!(world.stream(settings).unwrap(), world.content);
    assert_eq!(kinds(&world), ["", "Basic"]);
    assert!(told(&world).is_empty());
}

#[test]
fn a_public_model_needs_no_login() {
    let world = World::new();
    helper(&world, TOKEN);
    assert_eq!(world.stream(world.settings(&[])).unwrap(), world.content);
    assert_eq!(kinds(&world), [""]);
    assert!(told(&world).is_empty());
}

#[test]
fn access_basic_means_at_once() {
    let world = private();
    helper(&world, TOKEN);
    let access = format!("lfs.{}.git/info/lfs.access", world.hub.url(ID));
    assert_eq!(world.stream(world.settings(&[(&access, "basic")])).unwrap(), world.content);
    assert_eq!(kinds(&world), ["Basic"]);
}

#[test]
fn the_address_of_the_remote_may_hold_a_login() {
    let world = private();
    let remote = world.hub.url(ID).replace("http://", &format!("http://owner:{TOKEN}@"));
    assert_eq!(world.stream(world.settings(&[("remote.origin.url", &remote)])).unwrap(), world.content);
    assert_eq!(kinds(&world), ["", "Basic"]);
    let said = format!("{:?}{:?}", world.events.lock().unwrap(), world.lines.lock().unwrap());
    assert!(!said.contains(TOKEN));
}

#[test]
fn a_helper_is_told_what_was_accepted() {
    let world = private();
    helper(&world, TOKEN);
    assert_eq!(world.stream(world.settings(&[])).unwrap(), world.content);
    assert_eq!(kinds(&world), ["", "Basic"]);
    let told = told(&world);
    let [get, store] = told.as_slice() else { panic!("{told:?}") };
    let host = world.hub.endpoint().replace("http://", "host=");
    assert!(get.starts_with("get\n") && get.contains(&host) && get.contains("protocol=http"), "{get}");
    assert!(get.contains("wwwauth[]=Basic realm="), "{get}");
    assert!(store.starts_with("store\n") && store.contains(&format!("password={TOKEN}")), "{store}");
    assert!(!world.lines.lock().unwrap().join(" ").contains(TOKEN), "in no command line");
}

#[test]
fn a_helper_is_told_what_was_rejected() {
    let world = private();
    helper(&world, "wrong");
    let err = world.stream(world.settings(&[])).unwrap_err();
    let Error::Unauthorized { rejected: Some(CredentialSource::Helper), .. } = &err else { panic!("{err}") };
    let told = told(&world);
    let [get, erase] = told.as_slice() else { panic!("{told:?}") };
    assert!(get.starts_with("get\n") && erase.starts_with("erase\n") && erase.contains("password=wrong"));
    assert!(!everything(&err).contains("password=wrong"));
}

#[test]
fn what_is_rejected_gives_way_to_the_next_place() {
    let world = private();
    helper(&world, TOKEN);
    let remote = world.hub.url(ID).replace("http://", "http://owner:wrong-too@");
    let settings = world.settings(&[("remote.origin.url", &remote)]);
    let settings = netrc(&world, settings, "machine 127.0.0.1 login owner password wrong");
    assert_eq!(world.stream(settings).unwrap(), world.content);
    assert_eq!(kinds(&world), ["", "Basic", "Basic", "Basic"]);
}

#[test]
fn a_token_that_is_rejected_is_said_and_nothing_else_is_tried() {
    let world = private();
    helper(&world, TOKEN);
    let mut settings = world.settings(&[]);
    settings.tokens.hf_token = Some(git_st_convert::remote::Secret::new("hf_wrong"));
    let err = world.stream(settings).unwrap_err();
    assert!(err.to_string().contains("authentication failed with the credentials from HF_TOKEN"), "{err}");
    assert!(told(&world).is_empty());
}

#[test]
fn a_login_is_asked_for_once() {
    let world = private();
    helper(&world, TOKEN);
    world
        .ask(world.settings(&[]), &[], |server, _| {
            for _ in 0..3 {
                // A stream would only locate the object once.
                let action = server.locate(&[world.pointer]).unwrap().pop().unwrap().unwrap();
                let object = git_st_convert::remote::Object::new(server, world.pointer).with_action(action);
                assert_eq!(super::stream(&object).unwrap(), world.content);
            }
        })
        .unwrap();
    assert_eq!(kinds(&world), ["", "Basic", "Basic", "Basic"]);
    assert_eq!(told(&world).len(), 2);
}

#[test]
fn no_helper_is_no_login() {
    let world = private();
    let err = world.stream(world.settings(&[])).unwrap_err();
    assert!(matches!(err, Error::Unauthorized { rejected: None, .. }), "{err}");
}

#[test]
fn a_header_of_the_configuration_is_a_login() {
    let world = private();
    helper(&world, "never asked");
    let header = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(world.stream(world.settings(&[("http.extraHeader", &header)])).unwrap(), world.content);
    let scoped = format!("http.{}.extraHeader", world.hub.url(ID));
    assert_eq!(world.stream(world.settings(&[(&scoped, &header)])).unwrap(), world.content);
    assert!(kinds(&world).iter().all(|kind| kind == "Bearer"));
    let named = world.hub.url(ID).replace("://", "://user@");
    let scoped = format!("http.{named}.extraHeader");
    let of_user = world.settings(&[("remote.origin.url", &named), (&scoped, &header)]);
    assert_eq!(world.stream(of_user).unwrap(), world.content);
    let err =
        world.stream(world.settings(&[("http.extraHeader", "Authorization: Bearer wrong")])).unwrap_err();
    assert!(
        matches!(err, Error::Unauthorized { rejected: Some(CredentialSource::ExtraHeader), .. }),
        "{err}"
    );
    assert!(told(&world).is_empty());
    let bad = world.stream(world.settings(&[("http.extraHeader", "X-A: a\r\nHost: evil")]));
    assert!(matches!(bad, Err(Error::Setting { name: "http.extraHeader" })));
}

#[test]
fn cookies_of_the_configured_file_go_to_their_host_and_not_after_a_redirect() {
    let world = World::new();
    let file = world.sandbox.path("cookies");
    let line = |host: &str, value: &str| format!("{host}\tFALSE\t/\tFALSE\t0\tsession\t{value}\n");
    fs::write(&file, line("127.0.0.1", "mine") + &line("other.example", "theirs")).unwrap();
    let settings = || world.settings(&[("http.cookieFile", file.to_str().unwrap())]);
    let sent = || -> Vec<_> {
        world.hub.requests().iter().map(|seen| seen.header("Cookie").map(str::to_owned)).collect()
    };
    assert_eq!(world.stream(settings()).unwrap(), world.content);
    let first = sent();
    assert!(
        first.len() > 1 && first.iter().all(|cookie| cookie.as_deref() == Some("session=mine")),
        "{first:?}"
    );
    let other = world.hub.open_origin();
    world.hub.inject(Fault::Redirect(307, To::Origin(other)).at(Place::batch(ID)).times(1));
    assert_eq!(world.stream(settings()).unwrap(), world.content);
    assert_eq!(sent()[first.len()..][..2], [Some("session=mine".to_owned()), None]);
    fs::write(&file, line("127.0.0.1", "a\u{1}b")).unwrap();
    assert!(matches!(world.stream(settings()), Err(Error::Setting { name: "http.cookieFile" })));
}

#[test]
fn a_login_that_was_asked_for_does_not_follow_a_redirect() {
    let world = private();
    helper(&world, TOKEN);
    let other = world.hub.open_origin();
    world.hub.inject(Fault::Redirect(307, To::Origin(other)).at(Place::batch(ID)).times(1));
    assert!(matches!(world.stream(world.settings(&[])), Err(Error::Unauthorized { .. })));
    assert!(told(&world).is_empty(), "of another origin nobody is asked");
    assert!(world.hub.requests().iter().all(|seen| seen.header("Authorization").is_none()));
}

#[test]
fn a_login_that_was_dropped_does_not_come_back_with_the_way() {
    let world = World::new();
    let other = world.hub.open_origin();
    for to in [other, world.hub.endpoint()] {
        world.hub.inject(Fault::Redirect(307, To::Origin(to)).at(Place::batch(ID)).times(1));
    }
    assert_eq!(world.stream(world.with_token(&[])).unwrap(), world.content);
    assert_eq!(kinds(&world), ["Bearer", "", ""]);
}

/// Returns settings with a token that `hf auth login` saved.
fn saved(world: &World, token: &str) -> Settings {
    let home = world.sandbox.path("hf");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("token"), token).unwrap();
    let mut settings = world.settings(&[]);
    settings.tokens.hf_home = Some(home);
    settings
}

#[test]
fn a_saved_token_that_is_refused_is_left_out_of_what_only_reads() {
    let world = World::new();
    world.hub.add_expired_token("hf_old", "owner");
    assert_eq!(world.stream(saved(&world, "hf_old")).unwrap(), world.content);
    assert_eq!(kinds(&world), ["Bearer", ""]);
    // A token of the environment was set for this run.
    let mut meant = world.settings(&[]);
    meant.tokens.hf_token = Some(git_st_convert::remote::Secret::new("hf_old"));
    let error = world.stream(meant).unwrap_err();
    assert!(matches!(error, Error::TokenExpired { .. } | Error::Unauthorized { .. }), "{error:?}");
    // An upload needs the token.
    world.reset();
    let sent =
        world.ask(saved(&world, "hf_old"), &[], |server, _| server.plan_upload(&[world.pointer]).map(drop));
    let error = sent.unwrap().unwrap_err();
    assert!(matches!(error, Error::TokenExpired { .. } | Error::Unauthorized { .. }), "{error:?}");
    assert_eq!(kinds(&world), ["Bearer"]);
}

#[test]
fn a_saved_token_that_is_refused_gives_way_to_git_s_login_and_is_the_error_where_there_is_none() {
    let world = private();
    world.hub.add_expired_token("hf_old", "owner");
    let error = world.stream(saved(&world, "hf_old")).unwrap_err();
    assert!(everything(&error).contains("hf/token"), "{}", everything(&error));
    world.reset();
    helper(&world, TOKEN);
    assert_eq!(world.stream(saved(&world, "hf_old")).unwrap(), world.content);
    assert_eq!(kinds(&world), ["Bearer", "", "Basic"]);
}

#[test]
fn a_helper_is_asked_for_the_repository_s_path_where_git_would_say_it() {
    let world = private();
    helper(&world, TOKEN);
    world.sandbox.git(&world.repo, &["config", "credential.useHttpPath", "true"]);
    assert_eq!(world.stream(world.settings(&[])).unwrap(), world.content);
    let first = told(&world).remove(0);
    assert!(first.starts_with("get\n") && first.contains(&format!("\npath={ID}\n")), "{first}");
}
