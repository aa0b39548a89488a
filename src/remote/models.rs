//! The models of the Hub by their downloads.
//!
//! ```text
//! GET <hub>/api/models?sort=downloads&direction=-1&limit=N&filter=F…   [{"id"}], and `Link: <next page>; rel="next"`
//! ```
//!
//! Source: `list_models` of `hf_api.py` and `_pagination.py` of `huggingface_hub`; RFC 8288 for `Link`. Invariants: a next page
//! is asked for at the Hub's own origin alone; there are only so many pages; what is listed has the name of a model.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::HashSet;

use serde::Deserialize;

use super::cause::BadAnswer;
use super::client::Client;
use super::error::{Error, Result};
use super::hub::{HUB, is_model};
use super::url::Url;

/// How many models a page is asked for: the Hub gives no more.
const PAGE: usize = 1000;

/// How many pages are read, whatever their links say.
const MAX_PAGES: usize = 1000;

#[derive(Deserialize)]
struct Listed {
    id: String,
}

impl Client<'_> {
    /// The names of the models that were downloaded most, of those that have all of these tags: a library, a task, a
    /// language. No more than `count`; fewer if there are no more.
    ///
    /// # Errors
    /// [`Error::BadAnswer`], [`Error::Status`], …
    pub fn top_models(&self, count: usize, filters: &[String]) -> Result<Vec<String>> {
        let limit = count.min(PAGE).to_string();
        let mut query = vec![("sort", "downloads"), ("direction", "-1"), ("limit", limit.as_str())];
        query.extend(filters.iter().map(|filter| ("filter", filter.as_str())));
        let first = self.hub().with_segments(["api", "models"]).with_query(&query);
        self.wire.watched(|| self.pages(first, count))
    }

    fn pages(&self, first: Url, count: usize) -> Result<Vec<String>> {
        let (mut found, mut known) = (Vec::new(), HashSet::new());
        let mut next = Some(first);
        for _ in 0..MAX_PAGES {
            let Some(url) = next.filter(|_| found.len() < count) else { break };
            let bad = |source| Error::BadAnswer { url: url.clone(), interface: HUB, source };
            let (page, links): (Vec<Listed>, _) = self.linked(&url)?;
            let before = found.len();
            for Listed { id } in page {
                if !is_model(&id) {
                    return Err(bad(BadAnswer::Name));
                }
                if known.insert(id.clone()) {
                    found.push(id);
                }
            }
            // A page that brings nothing new is followed by no other.
            next = match links.iter().find_map(|link| next_of(link)).filter(|_| found.len() > before) {
                None => None,
                Some(next) => {
                    let joined = url.join(next).ok().filter(|next| next.origin() == url.origin());
                    Some(joined.ok_or_else(|| bad(BadAnswer::Page))?)
                }
            };
        }
        found.truncate(count);
        Ok(found)
    }
}

/// The address in a `Link` whose relation is `next`.
fn next_of(link: &str) -> Option<&str> {
    link.split('<').skip(1).find_map(|one| {
        let (address, parameters) = one.split_once('>')?;
        let is_next = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            let value = value.trim().trim_end_matches(',').trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel") && value.split_whitespace().any(|word| word == "next")
        };
        parameters.split(';').any(is_next).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_by_its_link() {
        for (link, next) in [
            ("<https://h/api/models?cursor=a%3D>; rel=\"next\"", Some("https://h/api/models?cursor=a%3D")),
            (
                "<https://h/1>; rel=\"prev\", <https://h/3?a,b;c>; title=x; rel=next",
                Some("https://h/3?a,b;c"),
            ),
            ("</2>; rel=\"last next\"", Some("/2")),
            ("<https://h/1>; rel=\"prev\"", None),
            ("<https://h/1>; rel=\"nextish\"", None),
            ("https://h/2; rel=next", None),
            ("<https://h/2; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next_of(link), next, "{link}");
        }
    }
}
