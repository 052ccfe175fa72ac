//! The part of the Dockerfile that a submission may use: files into an image of the exercise, nothing run while building.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::Problem;

/// A Dockerfile that passed, and where it names images of the exercise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dockerfile {
    text: String,
    /// Byte ranges of alias names, in order.
    aliases: Vec<std::ops::Range<usize>>,
}

const KNOWN: [&str; 11] = ["FROM", "COPY", "WORKDIR", "ENV", "ARG", "USER", "EXPOSE", "ENTRYPOINT", "CMD", "HEALTHCHECK", "LABEL"];

/// Reads a Dockerfile; everything that is not allowed is listed.
pub(super) fn vet(name: &str, text: &str, aliases: &BTreeSet<String>) -> Result<Dockerfile, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut wrong = |offset: usize, message: String, help: &str| {
        let problem = Problem::at(name, text, offset, message);
        problems.push(if help.is_empty() { problem } else { problem.with_help(help) });
    };
    let known = format!("known: {}", aliases.iter().cloned().collect::<Vec<_>>().join(", "));
    let mut found = Vec::new();
    let mut stages: Vec<String> = Vec::new();
    let mut froms = 0_usize;
    for (offset, instruction) in instructions(text, &mut wrong) {
        let keyword_end = instruction.find(char::is_whitespace).unwrap_or(instruction.len());
        let keyword = instruction[..keyword_end].to_ascii_uppercase();
        let words: Vec<(usize, &str)> = words(&instruction[keyword_end..]).map(|(at, word)| (offset + keyword_end + at, word)).collect();
        if !KNOWN.contains(&keyword.as_str()) {
            wrong(offset, format!("`{keyword}` is not allowed here"), &format!("known: {}", KNOWN.join(", ")));
            continue;
        }
        if froms == 0 && !matches!(keyword.as_str(), "FROM" | "ARG") {
            wrong(offset, "a Dockerfile begins with `FROM`".to_owned(), "");
        }
        match keyword.as_str() {
            "FROM" => {
                froms += 1;
                match &words[..] {
                    [(at, image), rest @ ..] => {
                        if aliases.contains(*image) {
                            found.push(*at..*at + image.len());
                        } else if !stages.iter().any(|stage| stage == image) {
                            wrong(*at, format!("`{image}` is not an image of this exercise"), &known);
                        }
                        match rest {
                            [] => {}
                            [(_, word), (_, stage)] if word.eq_ignore_ascii_case("as") => stages.push((*stage).to_owned()),
                            [(at, _), ..] => wrong(*at, "after the image comes `AS stage` or nothing".to_owned(), ""),
                        }
                    }
                    [] => wrong(offset, "`FROM` needs an image".to_owned(), &known),
                }
            }
            "COPY" => {
                for (at, word) in words.iter().take_while(|(_, word)| word.starts_with("--")) {
                    if let Some(from) = word.strip_prefix("--from=") {
                        if aliases.contains(from) {
                            found.push(at + 7..at + word.len());
                        } else if !stages.iter().any(|stage| stage == from) {
                            wrong(*at, format!("`{from}` is neither an image of this exercise nor an earlier stage"), &known);
                        }
                    } else if !(word.starts_with("--chmod=") || word.starts_with("--chown=")) {
                        wrong(*at, format!("`{word}` is not allowed here"), "known: --from, --chmod, --chown");
                    }
                }
                for (at, word) in words.iter().filter(|(_, word)| word.contains("<<")) {
                    wrong(*at, format!("`{word}`: here-documents are not allowed here"), "put the text into a file and copy that");
                }
            }
            _ => {}
        }
    }
    if froms == 0 {
        wrong(0, "the Dockerfile has no `FROM`".to_owned(), &known);
    }
    if problems.is_empty() { Ok(Dockerfile { text: text.to_owned(), aliases: found }) } else { Err(problems) }
}

impl Dockerfile {
    /// The text with exact tags in the place of aliases.
    pub(super) fn pinned(&self, images: &BTreeMap<String, String>) -> String {
        let mut text = self.text.clone();
        for range in self.aliases.iter().rev() {
            if let Some(tag) = images.get(&self.text[range.clone()]) {
                text.replace_range(range.clone(), tag);
            }
        }
        text
    }
}

/// Instructions with the byte at which each begins; continued lines stay together.
fn instructions<'a>(text: &'a str, wrong: &mut impl FnMut(usize, String, &str)) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    let (mut offset, mut begun): (usize, Option<usize>) = (0, None);
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        let is_comment = bare.starts_with('#');
        if is_comment && found.is_empty() && begun.is_none() {
            let directive = bare.trim_start_matches('#').trim().to_ascii_lowercase();
            let key = directive.split('=').next().unwrap_or_default().trim().to_owned();
            if directive.contains('=') && matches!(key.as_str(), "syntax" | "escape" | "check") {
                wrong(offset, format!("the directive `{key}` is not allowed here"), "leave the line out");
            }
        }
        let between = bare.is_empty() && begun.is_none();
        if !is_comment && !between {
            let start = *begun.get_or_insert(offset + (line.len() - line.trim_start().len()));
            if !bare.ends_with('\\') {
                found.push((start, text[start..offset + line.len()].trim_end()));
                begun = None;
            }
        }
        offset += line.len();
    }
    if let Some(start) = begun {
        found.push((start, text[start..].trim_end()));
    }
    found
}

fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_whitespace().filter(|word| *word != "\\").map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aliases() -> BTreeSet<String> {
        ["modeldown/python", "modeldown/fraud-models"].map(str::to_owned).into()
    }

    fn refused(text: &str) -> Vec<String> {
        vet("model/Dockerfile", text, &aliases()).expect_err("it must be refused").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_plain_dockerfile_is_pinned() {
        let text = "# model\nFROM modeldown/python AS base\nCOPY --from=modeldown/fraud-models \\\n  /models /models\nFROM base\nCMD [\"x\"]\n";
        let images = [("modeldown/python", "modeldown/python:1a"), ("modeldown/fraud-models", "modeldown/fraud-models:2b")];
        let pinned = vet("Dockerfile", text, &aliases()).expect("it is allowed").pinned(&images.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
        let expected =
            "# model\nFROM modeldown/python:1a AS base\nCOPY --from=modeldown/fraud-models:2b \\\n  /models /models\nFROM base\nCMD [\"x\"]\n";
        assert_eq!(pinned, expected);
    }

    #[test]
    fn everything_that_runs_or_reaches_out_is_refused_with_its_place() {
        for (text, place) in [
            ("# syntax=docker/dockerfile:1\nFROM modeldown/python\n", "model/Dockerfile:1:1: "),
            ("FROM debian\n", "model/Dockerfile:1:6: "),
            ("FROM modeldown/python:latest\n", "model/Dockerfile:1:6: "),
            ("FROM modeldown/python\nRUN id\n", "model/Dockerfile:2:1: "),
            ("FROM modeldown/python\nADD http://x /x\n", "model/Dockerfile:2:1: "),
            ("FROM modeldown/python\n  onbuild RUN id\n", "model/Dockerfile:2:3: "),
            ("FROM modeldown/python\nCOPY --from=alpine / /\n", "model/Dockerfile:2:6: "),
            ("FROM modeldown/python\nCOPY --link a b\n", "model/Dockerfile:2:6: "),
            ("FROM modeldown/python\nCOPY <<EOF /x\nEOF\n", "model/Dockerfile:2:6: "),
            ("FROM --platform=x modeldown/python\n", "model/Dockerfile:1:6: "),
            ("", "model/Dockerfile:1:1: "),
        ] {
            assert!(refused(text)[0].starts_with(place), "{text:?}: {:?}", refused(text));
        }
        assert_eq!(refused("FROM debian\nRUN a\nRUN b\n").len(), 3);
    }
}
