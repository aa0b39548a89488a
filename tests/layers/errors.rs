//! Checks that the text of each error is complete: it names its subject, and so does not begin with a bare verb.

use super::circles::Modules;

/// The beginnings of sentences without a subject.
const BARE: [&str; 29] = [
    "is",
    "are",
    "has",
    "have",
    "hold",
    "holds",
    "name",
    "names",
    "say",
    "says",
    "gives",
    "does not",
    "may",
    "would be",
    "was",
    "begin",
    "begins",
    "belong",
    "belongs",
    "bring",
    "brings",
    "needs",
    "there is",
    "there are",
    "what",
    "which",
    "who",
    "how many",
    "of",
];

fn has_no_subject(text: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    BARE.iter().chain(&["where"]).any(|word| text.strip_prefix(word).is_some_and(ends))
}

#[test]
fn every_error_is_a_sentence_of_its_own() {
    let mut found = Vec::new();
    let modules = Modules::of_crate();
    for (module, source) in modules.iter() {
        let errors = source.errors.iter().filter(|text| has_no_subject(text));
        found.extend(errors.map(|text| format!("{}: {text}", modules.file(module))));
    }
    super::assert_list("errors.txt", found, "the text of an error begins with a bare verb");
}

#[test]
fn a_bare_verb_is_told_from_a_word_that_begins_like_one() {
    for text in ["is no checkpoint", "has {count} parts", "where it is", "does not fit", "names, twice"] {
        assert!(has_no_subject(text), "{text}");
    }
    for text in ["issue", "maybe", "offline", "storage {key} {what}", "the server is busy", "whole file"] {
        assert!(!has_no_subject(text), "{text}");
    }
}
