//! Tests the models of the Hub by their downloads.

#![expect(clippy::disallowed_methods, reason = "the reference client is asked, too")]

use std::process::Command;

use super::{Fleet, id};
use crate::hub::{Access, Fault, Place};
use crate::sandbox::Output;

fn fleet(count: u16) -> Fleet {
    let fleet = Fleet::new();
    for number in 0..count {
        // Models without a commit are enough, because nothing is cloned.
        fleet.hub.add_model(&id(number), &crate::hub::Builder::without_attributes());
        let tags: &[&str] = if number % 2 == 0 { &["pytorch", "en"] } else { &["tf", "en"] };
        // The order differs from that of the names.
        fleet.hub.set_popularity(&id(number), 1000 + u64::from(number * 7 % count), tags);
    }
    fleet
}

fn listed(fleet: &Fleet, args: &[&str]) -> Vec<String> {
    fleet.run(&[args, &["-n"]].concat()).ok().lines().map(str::to_owned).collect()
}

#[test]
fn the_most_downloaded_in_their_order_over_all_pages() {
    let fleet = fleet(53);
    let mut expected: Vec<_> = (0..53_u16).collect();
    expected.sort_by_key(|number| std::cmp::Reverse(number * 7 % 53));
    let expected: Vec<_> = expected.into_iter().map(id).collect();
    assert_eq!(listed(&fleet, &["--top", "45"]), expected[..45]);
    let seen = fleet.hub.requests();
    assert_eq!(seen.len(), 3, "20 a page");
    assert_eq!(seen[0].target, "/api/models?sort=downloads&direction=-1&limit=45");
    assert_eq!(listed(&fleet, &["--top", "3"]), expected[..3]);
    assert_eq!(listed(&fleet, &["--top", "1000"]), expected);

    let torch: Vec<_> =
        expected.iter().filter(|id| id[6..].parse::<u16>().unwrap() % 2 == 0).cloned().collect();
    fleet.hub.forget_requests();
    assert_eq!(listed(&fleet, &["--top", "100", "--filter", "pytorch", "--filter", "en"]), torch);
    assert!(fleet.hub.requests()[0].target.ends_with("&limit=100&filter=pytorch&filter=en"));
    // A printed list is valid input; private models are not in it.
    fleet.hub.set_access(&expected[0], Access::Private);
    assert_eq!(listed(&fleet, &["--top", "2"]), expected[1..3]);
}

#[test]
fn the_reference_client_gets_the_same_list() {
    let Some(python) = crate::publish::client::python() else {
        return crate::clone::skipped(
            "huggingface_hub could not be installed by pip: the hub's list was not asked by it",
        );
    };
    let fleet = fleet(53);
    let code = "from huggingface_hub import HfApi\n\
                for model in HfApi().list_models(sort='downloads', limit=25, filter=['pytorch', 'en']):\n    \
                print(model.id)";
    let mut command = Command::new(python);
    command.args(["-c", code]).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", fleet.temp()).env("HF_HOME", fleet.temp()).env("HF_ENDPOINT", fleet.hub.endpoint());
    let output = Output::from(command.env("HF_HUB_DISABLE_TELEMETRY", "1").output().unwrap());
    let theirs: Vec<_> = output.ok().lines().map(str::to_owned).collect();
    assert_eq!(theirs.len(), 25);
    assert_eq!(theirs, listed(&fleet, &["--top", "25", "--filter", "pytorch", "--filter", "en"]));
}

#[test]
fn what_a_server_may_do_to_a_list() {
    let fleet = fleet(30);
    let list = || Place::path("/api/models");
    let fails = |says: &str| {
        let output = fleet.run(&["--top", "30", "-n"]);
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{output:#?}");
        assert!(output.stderr.contains(says), "{}", output.stderr);
        fleet.hub.heal();
    };
    fleet.hub.inject(Fault::Json(|page| page[3]["id"] = "../../etc".into()).at(list()));
    fails("invalid model name in the list");
    let next = format!("<{}/api/models?cursor=20>; rel=\"next\"", fleet.hub.content_origin());
    fleet.hub.inject(Fault::Header("Link", next).at(list()));
    fails("next page on another host");
    fleet.hub.inject(Fault::Html.at(list()));
    fails("unexpected response from");
    // A page that links to itself does not repeat endlessly.
    let same = format!("<{}/api/models?limit=20>; rel=\"next\"", fleet.hub.endpoint());
    fleet.hub.inject(Fault::Header("Link", same).at(list()));
    fleet.hub.forget_requests();
    assert!(listed(&fleet, &["--top", "30"]).len() <= 30);
    assert!(fleet.hub.requests().len() < 5);
    fleet.hub.heal();

    let output = fleet.run(&["--top", "30", "--shard", "0/2"]);
    assert_eq!(
        output.stderr,
        "error: --top: cannot be combined with `--shard`: the order changes between requests\n\
         hint: write the list first: `git st-convert batch --top 30 -n > models.txt`\n"
    );
    let output = fleet.run(&["--top", "30", "--offline"]);
    assert!(output.stderr.starts_with("error: cannot list models while offline"), "{}", output.stderr);
}
