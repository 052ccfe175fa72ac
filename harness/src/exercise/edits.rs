//! What variants do to the reference's texts: breaks replace passages, parameters replace words.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Break, Edit, Files};

/// Where an edit's text stands in its file; loading has seen that it stands there once.
fn span(files: &Files, edit: &Edit) -> Option<Range<usize>> {
    let start = std::str::from_utf8(files.get(&edit.file)?).ok()?.find(&edit.find)?;
    Some(start..start + edit.find.len())
}

/// Whether two breaks touch the same text of the reference.
pub(super) fn meet(reference: &Files, one: &Break, other: &Break) -> bool {
    let mut pairs = one.edits.iter().flat_map(|edit| other.edits.iter().map(move |against| (edit, against)));
    pairs.any(|(edit, against)| overlap(reference, edit, against))
}

/// Whether two edits touch the same text.
pub(super) fn overlap(reference: &Files, edit: &Edit, against: &Edit) -> bool {
    let spans = (edit.file == against.file).then(|| span(reference, edit).zip(span(reference, against))).flatten();
    spans.is_some_and(|(a, b)| a.start < b.end && b.start < a.end)
}

/// Files with edits in them that do not meet. Each is made where its text stands before all of them, so that their order does not matter.
/// Fails with the name of a file that is not there, or not with that text.
pub(super) fn edited<'a>(mut files: Files, edits: impl IntoIterator<Item = &'a Edit>) -> Result<Files, String> {
    let mut by_file: BTreeMap<&str, Vec<(Range<usize>, &str)>> = BTreeMap::new();
    for edit in edits {
        let span = span(&files, edit).ok_or_else(|| edit.file.clone())?;
        by_file.entry(&edit.file).or_default().push((span, &edit.replace));
    }
    for (name, mut edits) in by_file {
        // From the end, so that the places before stay where they are.
        edits.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
        if let Some(content) = files.get_mut(name) {
            for (span, replace) in edits {
                content.splice(span, replace.bytes());
            }
        }
    }
    Ok(files)
}

/// The text with words replaced wherever neither a letter nor a digit stands beside them: all at once, so that no word that was put in
/// is replaced again.
pub(super) fn reworded(text: &str, words: &[(&str, &str)]) -> String {
    let mut reworded = String::with_capacity(text.len());
    let mut last = None;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let is_beside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let stands = |from: &str| !is_beside(last) && rest.strip_prefix(from).is_some_and(|after| !is_beside(after.chars().next()));
        let found = words.iter().filter(|(from, _)| stands(from)).max_by_key(|(from, _)| from.len());
        let (from, to) = found.copied().unwrap_or((&rest[..next.len_utf8()], &rest[..next.len_utf8()]));
        reworded.push_str(to);
        last = from.chars().last();
        rest = &rest[from.len()..];
    }
    reworded
}

/// Whether a word stands in a text by itself.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    reworded(text, &[(word, "")]) != text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_replaced_whole_and_once() {
        let words = [("blue", "green"), ("green", "blue"), ("8404", "9101"), ("21:40", "06:15"), ("21", "x")];
        assert_eq!(reworded("é model-blue:8404 blue_green bluebird 84040 é", &words), "é model-green:9101 green_blue bluebird 84040 é");
        assert_eq!(reworded("21:40, 21:400, 121:40", &words), "06:15, x:400, 121:40");
        assert!(has_word("server blue", "blue") && !has_word("bluebird", "blue"));
    }
}
