//! Tests the exchange of tokens in CI: who sees which of them, and the messages without one.

use std::sync::Arc;

use git_st_convert::remote::token::Oidc;
use git_st_convert::remote::{Error, Secret, Settings};

use super::{ID, World, everything, hub_of, model_id};
use crate::hub::{Access, Fault, Place, Seen, To, Trust};

const JOB: &str = "pw-of-the-job";
const IDENTITY: &str = "pw-of-the-identity";
const TOKEN: &str = "hf_jwt_TheExchangedToken";

/// Creates a world with a private model, whose hub trusts an identity service at another of its origins.
fn world() -> (World, String) {
    let world = World::new();
    world.hub.set_access(ID, Access::Private);
    trust(&world, 3600);
    let service = world.hub.open_origin();
    (world, service)
}

fn trust(world: &World, lifetime: u64) {
    world.hub.trust(Trust {
        job: JOB.to_owned(),
        identity: IDENTITY.to_owned(),
        resource: ID.to_owned(),
        token: TOKEN.to_owned(),
        lifetime,
    });
}

fn settings(world: &World, service: &str) -> Settings {
    let mut settings = world.settings(&[]);
    let request = Some((format!("{service}/mint?api-version=2.0"), Secret::new(JOB)));
    settings.tokens.oidc = Some(Oidc { resource: ID.to_owned(), id_token: None, request });
    // The exchange was requested, so it has priority over this token.
    settings.tokens.hf_token = Some(Secret::new("hf_not_this_one"));
    settings
}

/// Returns the origins and paths of the requests that contain a text.
fn carrying(world: &World, text: &str) -> Vec<String> {
    let seen = world.hub.requests();
    let carrying = seen.iter().filter(|seen| seen.carries(text));
    carrying.map(|seen: &Seen| format!("{}{}", seen.origin, seen.path())).collect()
}

#[test]
fn a_job_that_says_who_it_is_has_a_token_for_an_hour() {
    let (world, service) = world();
    let settings = settings(&world, &service);
    for _ in 0..2 {
        assert!(world.stream(settings.clone()).unwrap() == world.content);
    }
    let hub = world.hub.endpoint();
    assert_eq!(carrying(&world, JOB), [format!("{service}/mint")]);
    assert_eq!(carrying(&world, IDENTITY), [format!("{hub}/oauth/token")]);
    assert!(carrying(&world, TOKEN).iter().all(|seen| seen.starts_with(&hub)));
    assert!(!carrying(&world, TOKEN).is_empty());
    assert!(carrying(&world, "hf_not_this_one").is_empty());
    // This is everything that the user may see.
    let shown = [world.events.lock().unwrap().join("\n"), world.lines.lock().unwrap().join("\n")].concat();
    assert!(![JOB, IDENTITY, TOKEN].iter().any(|secret| shown.contains(secret)), "{shown}");
    assert!(!format!("{settings:?}").contains("pw-of"));
}

#[test]
fn one_that_is_nearly_over_is_exchanged_anew() {
    let (world, service) = world();
    trust(&world, 299);
    let settings = settings(&world, &service);
    for _ in 0..2 {
        hub_of(settings.clone()).model(&model_id(), None).unwrap();
    }
    assert_eq!(carrying(&world, IDENTITY).len(), 2);
    // A given ID token cannot be renewed, so the access token is used to its end.
    world.hub.forget_requests();
    let mut given = settings.clone();
    given.learned = git_st_convert::remote::Learned::default();
    let identity = Some(Secret::new(format!("{IDENTITY}.{}", world.hub.endpoint())));
    given.tokens.oidc = Some(Oidc { resource: ID.to_owned(), id_token: identity, request: None });
    for _ in 0..2 {
        hub_of(given.clone()).model(&model_id(), None).unwrap();
    }
    assert_eq!((carrying(&world, IDENTITY).len(), carrying(&world, JOB).len()), (1, 0));
}

#[test]
fn a_job_that_is_not_taken_is_an_error_and_nobody_else_asks() {
    let (world, service) = world();
    let of = |oidc: Oidc| {
        let mut settings = settings(&world, &service);
        settings.tokens.oidc = Some(oidc);
        let error = hub_of(settings).model(&model_id(), None).unwrap_err();
        let all = everything(&error);
        assert!(![JOB, IDENTITY, TOKEN, "hf_not"].iter().any(|secret| all.contains(secret)), "{all}");
        error
    };
    let request = || Some((format!("{service}/mint"), Secret::new(JOB)));
    let with = |resource: &str, request| Oidc { resource: resource.to_owned(), id_token: None, request };
    assert!(matches!(of(with(ID, None)), Error::NoIdToken));
    let error = of(with("acme/other", request()));
    assert!(matches!(error, Error::Status { status: 400, .. }), "{}", everything(&error));
    assert!(everything(&error).contains("not trusted"), "{}", everything(&error));
    let other = Some((format!("{service}/mint"), Secret::new("pw-of-the-job-of-others")));
    assert!(matches!(of(with(ID, other)), Error::Forbidden { .. }));
    let open = Some(("http://service.invalid/mint".to_owned(), Secret::new(JOB)));
    assert!(matches!(of(with(ID, open)), Error::OpenExchange { .. }));
    assert!(carrying(&world, "hf_not_this_one").is_empty());
}

#[test]
fn no_redirect_takes_a_job_or_its_identity_elsewhere() {
    let (world, service) = world();
    let other = Arc::new(world.hub.open_origin());
    for path in ["/mint", "/oauth/token"] {
        for status in [301, 302, 303, 307, 308] {
            world.reset();
            let to = To::Origin(other.to_string());
            world.hub.inject(Fault::Redirect(status, to).at(Place::path(path)));
            let error = hub_of(settings(&world, &service)).model(&model_id(), None).unwrap_err();
            assert!(matches!(error, Error::TooManyRedirects { .. }), "{}", everything(&error));
            assert!(world.hub.requests().iter().all(|seen| seen.origin != *other), "{path} {status}");
        }
    }
}
