//! Tests tokens, gated and private models: the responses of the Hub, and git's reaction to them.

use super::{Check, ID, WRITER};
use crate::hub::{Access, Right};

/// Returns the status, `X-Error-Code` and `X-Error-Message` of the response to a token.
fn ask(check: &Check, path: &str, token: Option<&str>) -> Option<(u16, String, String)> {
    let url = format!("{}{path}", check.hub.endpoint());
    let header = format!("Authorization: Bearer {}", token.unwrap_or_default());
    let auth: &[&str] = if token.is_some() { &["-H", &header] } else { &[] };
    let format = "%{http_code}|%header{x-error-code}|%header{x-error-message}";
    let args =
        ["-o", "/dev/null", "-w", format].into_iter().chain(auth.iter().copied()).chain([url.as_str()]);
    let answer = check.curl(&args.collect::<Vec<_>>())?.ok();
    let mut parts = answer.splitn(3, '|').map(str::to_owned);
    let status = parts.next().unwrap().parse().unwrap();
    Some((status, parts.next().unwrap(), parts.next().unwrap()))
}

fn with_tokens() -> Check {
    let check = Check::new();
    check.hub.add_token(WRITER, "owner", Right::Write);
    check.hub.add_token("hf_reader", "reader", Right::Read);
    check.hub.add_token("hf_stranger", "stranger", Right::Public);
    check.hub.add_expired_token("hf_old", "owner");
    check
}

#[test]
fn a_gated_model_says_that_it_is_gated() {
    let check = with_tokens();
    check.hub.set_access(ID, Access::Gated);
    let file = "/acme/bert/resolve/main/config.json";
    let Some(anonymous) = ask(&check, file, None) else { return };
    assert_eq!((anonymous.0, anonymous.1.as_str()), (401, "GatedRepo"));
    assert!(anonymous.2.ends_with("Please log in."), "{}", anonymous.2);
    let stranger = ask(&check, file, Some("hf_stranger")).unwrap();
    assert_eq!((stranger.0, stranger.1.as_str()), (403, "GatedRepo"));
    assert!(stranger.2.contains("you are not in the authorized list"), "{}", stranger.2);
    assert_eq!(ask(&check, file, Some("hf_reader")).unwrap().0, 200);
    assert_eq!(ask(&check, "/api/models/acme/bert", None).unwrap().0, 200, "what it is is no secret");
}

#[test]
fn a_private_model_is_as_one_that_is_not_there() {
    let check = with_tokens();
    check.hub.set_access(ID, Access::Private);
    for id in [ID, "acme/none"] {
        for path in [format!("/api/models/{id}"), format!("/{id}/resolve/main/config.json")] {
            let Some(anonymous) = ask(&check, &path, None) else { return };
            assert_eq!(anonymous, (401, String::new(), "Invalid username or password.".to_owned()), "{path}");
            let stranger = ask(&check, &path, Some("hf_stranger")).unwrap();
            assert_eq!(
                stranger,
                (404, "RepoNotFound".to_owned(), "Repository not found".to_owned()),
                "{path}"
            );
        }
    }
    assert_eq!(ask(&check, "/api/models/acme/bert", Some("hf_reader")).unwrap().0, 200);
}

#[test]
fn an_expired_or_unknown_token_is_refused_even_where_none_is_needed() {
    let check = with_tokens();
    for token in ["hf_old", "hf_unknown", ""] {
        let Some(answer) = ask(&check, "/api/models/acme/bert", Some(token)) else { return };
        assert_eq!(answer, (401, String::new(), "Invalid credentials in Authorization header".to_owned()));
    }
}

#[test]
fn git_clones_what_its_token_may_read() {
    let check = with_tokens();
    for access in [Access::Gated, Access::Private] {
        check.hub.set_access(ID, access);
        let output = check.try_git(&["ls-remote", &check.hub.url(ID)]);
        assert!(output.stderr.contains("could not read Username"), "{output:?}");
        let output = check.try_git(&["ls-remote", &check.url_with("hf_stranger")]);
        let expected = if access == Access::Gated { "error: 403" } else { "not found" };
        assert!(output.stderr.contains(expected), "{output:?}");
        assert!(
            check.try_git(&["ls-remote", &check.url_with("hf_old")]).stderr.contains("Authentication failed")
        );
        check.clone_from(&check.url_with("hf_reader"), &[], &format!("{access:?}"));
    }
    let seen = check.hub.requests();
    let last = seen.last().unwrap();
    assert!(last.carries("hf_reader"), "Basic is decoded");
    assert!(!last.carries("hf_stranger"));
}

#[test]
fn git_lfs_asks_for_a_private_model_with_the_token_of_its_remote() {
    let Some(check) = Check::with_lfs() else { return };
    check.hub.add_token("hf_reader", "reader", Right::Read);
    check.hub.set_access(ID, Access::Private);
    let dir = check.clone_from(&check.url_with("hf_reader"), &[], "clone");
    assert_eq!(std::fs::metadata(dir.join("pytorch_model.bin")).unwrap().len(), 300_000);
    let seen = check.hub.requests();
    let batches: Vec<_> = seen.iter().filter(|seen| seen.path().ends_with("/objects/batch")).collect();
    assert_eq!(batches.last().unwrap().status, 200);
    assert!(batches.last().unwrap().carries("hf_reader"));
    let content = seen.iter().find(|seen| seen.path().starts_with("/content/")).unwrap();
    assert!(!content.carries("hf_reader"));
}
