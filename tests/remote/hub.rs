//! Tests the Hub's own API: models, pull requests, and refusals.

use git_st_convert::remote::discussions::{PullRequest, PullRequestStatus};
use git_st_convert::remote::{self, Error, ModelName, Secret, Settings};

use super::{ID, TOKEN, World, everything, model_id};
use crate::hub::{Access, Builder, Discussion, Fault, Place, Right, Status as Given};

fn ask<T>(world: &World, settings: Settings, work: impl FnOnce(&remote::Hub<'_>) -> T) -> T {
    world.ask(settings, &[], |_, hub| work(hub)).unwrap()
}

fn discussion(number: u64, status: Given, is_pull_request: bool) -> Discussion {
    Discussion {
        number,
        title: format!("number {number}"),
        description: String::new(),
        author: "bot".to_owned(),
        status,
        is_pull_request,
    }
}

#[test]
fn a_model_is_said_with_its_commit() {
    let world = World::new();
    let mut more = Builder::more();
    more.file("README.md", "# bert\n").commit("card").tag("v1");
    world.hub.add_model(ID, &more);
    let model = ask(&world, world.settings(&[]), |hub| hub.model(&model_id(), None).unwrap());
    assert_eq!((model.id.as_str(), model.sha), (ID, world.hub.rev(ID, "main")));
    assert!(!model.private && !model.disabled);
    let tagged = ask(&world, world.settings(&[]), |hub| hub.model(&model_id(), Some("v1")).unwrap());
    assert_eq!(tagged.sha, world.hub.rev(ID, "v1"));
    world.hub.set_access(ID, Access::Gated);
    assert!(ask(&world, world.with_token(&[]), |hub| hub.model(&model_id(), None).unwrap().is_gated()));
}

#[test]
fn all_pull_requests_are_listed_over_all_pages() {
    let world = World::new();
    let status = [Given::Open, Given::Closed, Given::Merged, Given::Draft];
    for number in 1..=120 {
        let which = status[usize::try_from(number).unwrap() % 4];
        world.hub.set_discussion(ID, discussion(number, which, number % 10 != 0));
    }
    let found = ask(&world, world.settings(&[]), |hub| hub.pull_requests(&model_id()).unwrap());
    let numbers: Vec<_> = found.iter().map(|one| one.number).collect();
    let expected: Vec<_> = (1..=120).rev().filter(|number| number % 10 != 0).collect();
    assert_eq!(numbers, expected);
    assert_eq!(world.hub.requests().len(), 3, "108 of them, 50 a page");
    let first = PullRequest {
        number: 119,
        title: "number 119".to_owned(),
        status: PullRequestStatus::Draft,
        author: Some("bot".to_owned()),
        created_at: Some("2020-01-02T03:04:05.000Z".to_owned()),
    };
    assert_eq!(found[0], first);
    let none = World::new();
    assert!(ask(&none, none.settings(&[]), |hub| hub.pull_requests(&model_id()).unwrap()).is_empty());
}

#[test]
fn pages_that_never_end_do() {
    let world = World::new();
    for number in 1..=3 {
        world.hub.set_discussion(ID, discussion(number, Given::Open, true));
    }
    // A server responds to every page with the first one, and reports more pages.
    world.hub.inject(
        Fault::Json(|page| page["count"] = 1_000_000.into())
            .at(Place::path("/api/models/acme/bert/discussions")),
    );
    let found = ask(&world, world.settings(&[]), |hub| hub.pull_requests(&model_id()).unwrap());
    assert_eq!(found.len(), 3);
    assert!(world.hub.requests().len() < 5);
}

#[test]
fn every_refusal_of_the_hub_has_its_own_error() {
    let world = World::new();
    world.hub.add_token("hf_stranger", "stranger", Right::Public);
    world.hub.add_expired_token("hf_expired", "owner");
    let with = |token: &str| {
        let mut settings = world.settings(&[]);
        settings.tokens.hf_token = Some(Secret::new(token));
        settings
    };
    let model = |settings: Settings, id: &str, revision: Option<&str>| {
        ask(&world, settings, |hub| hub.model(&ModelName::parse(id).unwrap(), revision).unwrap_err())
    };
    assert!(matches!(
        model(world.settings(&[]), "acme/none", None),
        Error::Unauthorized { .. } | Error::RepositoryNotFound { .. }
    ));
    assert!(matches!(model(with(TOKEN), "acme/none", None), Error::RepositoryNotFound { .. }));
    assert!(matches!(model(with(TOKEN), ID, Some("nope")), Error::RevisionNotFound { .. }));
    world.hub.set_access(ID, Access::Private);
    assert!(matches!(model(with("hf_stranger"), ID, None), Error::RepositoryNotFound { .. }));
    let expired = model(with("hf_expired"), ID, None);
    assert!(matches!(expired, Error::Unauthorized { rejected: Some(_), .. } | Error::TokenExpired { .. }));
    let file = |settings: Settings, revision: &str, path: &str| {
        ask(&world, settings, |hub| {
            let url = hub.resolve_url(&model_id(), revision, path);
            remote::Ranged::open(hub.auth(), &url).map(|_| ()).unwrap_err()
        })
    };
    assert!(matches!(file(with(TOKEN), "main", "nope.bin"), Error::EntryNotFound { .. }));
    assert!(matches!(file(with(TOKEN), "nope", "config.json"), Error::RevisionNotFound { .. }));
    world.hub.set_access(ID, Access::Gated);
    let gated = file(with("hf_stranger"), "main", "config.json");
    assert!(matches!(gated, Error::Gated { .. }), "{gated}");
    assert!(everything(&gated).contains("not in the authorized list"), "the Hub's own words are kept");
}

#[test]
fn the_hub_s_own_faults_pass_or_are_said() {
    let world = World::new();
    let place = || Place::path("/api/models/acme/bert");
    world.hub.inject(Fault::Status(503).at(place()).times(2));
    world.hub.inject(Fault::Drop.at(place()).times(1));
    ask(&world, world.settings(&[]), |hub| hub.model(&model_id(), None).unwrap());
    for (fault, is) in [
        (Fault::Status(500), (|e| matches!(e, Error::Status { status: 500, .. })) as fn(&Error) -> bool),
        (Fault::Html, |e| matches!(e, Error::BadAnswer { .. })),
        (Fault::Truncated, |e| matches!(e, Error::BadAnswer { .. })),
        (Fault::RetryAfter(429, 301), |e| matches!(e, Error::RateLimited { .. })),
        (Fault::Json(|v| v["id"] = 7.into()), |e| matches!(e, Error::BadAnswer { .. })),
    ] {
        world.reset();
        world.hub.inject(fault.at(place()));
        let err = ask(&world, world.settings(&[]), |hub| hub.model(&model_id(), None).unwrap_err());
        assert!(is(&err), "{}", everything(&err));
    }
}
