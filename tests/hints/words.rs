//! Checks the words of user texts in the source: they contain no dialect, and in `src/cli` no sentence begins with a
//! bare verb. `tests/layers/errors.rs` does the same for errors.

use super::source::{literals, package, sources};

/// Words that only this project would use in this way: each has a plain equivalent.
const DIALECT: [&str; 23] = [
    "told",
    "so many",
    "very same",
    "gone on",
    "goes on",
    "thereof",
    "anew",
    "whoever",
    "as ever",
    "at home",
    "in the way",
    "it says",
    "work tree",
    "looked at",
    "looked into",
    "judge",
    "judged",
    "of it",
    "oid",
    "torch zip",
    "torch checkpoint",
    "torch weights",
    "torch archive",
];

/// The beginnings of sentences without a subject.
const BARE: [&str; 25] = [
    "is",
    "are",
    "has",
    "have",
    "holds",
    "names",
    "says",
    "gives",
    "does not",
    "may",
    "would be",
    "was",
    "begins",
    "belongs",
    "brings",
    "needs",
    "there is",
    "there are",
    "what",
    "which",
    "who",
    "how many",
    "of",
    "where",
    "it is",
];

/// The ends of sentences whose beginnings are in another literal: the name of a variable or a file, or the words before
/// a hint.
const RESTS: &str = include_str!("rests.txt");

/// Returns texts for users: words with a space between them, and no command or markup.
fn sentences(text: &str) -> impl Iterator<Item = String> {
    // A line of a pointer is not prose.
    let is_prose = |text: &String| text.contains(' ') && !text.starts_with("oid sha256:");
    literals(text).into_iter().filter(is_prose)
}

/// Returns `true` if a text contains these words, not as part of longer words, and not as a name in braces.
fn has(text: &str, words: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || "_-{}\"".contains(letter);
    text.match_indices(words)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + words.len()..].starts_with(is_part))
}

fn is_bare(text: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    BARE.iter().any(|word| text.strip_prefix(word).is_some_and(ends))
}

#[test]
fn no_text_speaks_a_dialect() {
    let mut found = Vec::new();
    for (path, text) in sources(&package().join("src")) {
        for sentence in sentences(&text) {
            let words = DIALECT.iter().filter(|words| has(&sentence, words));
            found.extend(words.map(|words| format!("{}: `{words}` in: {sentence}", path.display())));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn notes_hints_and_messages_name_their_subject() {
    let mut bare: Vec<_> = sources(&package().join("src/cli"))
        .values()
        .flat_map(|text| sentences(text))
        .filter(|text| is_bare(text))
        .collect();
    bare.sort();
    bare.dedup();
    let expected: Vec<_> = RESTS.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(bare, expected, "rests.txt has the rests of sentences, and only those");
}

#[test]
fn words_are_found_as_words() {
    assert!(has("the oid of a file", "oid") && has("files of the work tree", "work tree"));
    assert!(
        !has("{oid} is void", "oid") && !has("avoid it", "oid") && !has("a refs/st-convert/oid-x", "oid")
    );
    assert!(
        is_bare("is no file")
            && is_bare("where it is")
            && !is_bare("issue {n}")
            && !is_bare("hash of a file")
    );
}
