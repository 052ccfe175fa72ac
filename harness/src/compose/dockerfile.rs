//! The part of the Dockerfile that a submission may use: files into an image of the exercise, nothing run while building.
//!
//! What was understood is written anew, one instruction a line: the builder never reads the candidate's text, so that it cannot
//! understand it otherwise.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::Problem;

/// A Dockerfile that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dockerfile {
    instructions: Vec<Vec<Piece>>,
    /// The names that it declares with `ARG`.
    pub(super) arguments: BTreeSet<String>,
}

/// A part of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// An image of the exercise, which gets its exact tag.
    Alias(String),
}

const KNOWN: [&str; 11] = ["FROM", "COPY", "WORKDIR", "ENV", "ARG", "USER", "EXPOSE", "ENTRYPOINT", "CMD", "HEALTHCHECK", "LABEL"];
/// The most instructions.
const LIMIT: usize = 100;
/// Arguments that mean something to the builder itself.
const BUILDER_S: [&str; 8] = ["BUILDKIT_", "BUILDX_", "SOURCE_DATE_EPOCH", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// Whether a build may have an argument of this name.
fn is_argument(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let plain =
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    plain && !BUILDER_S.iter().any(|prefix| upper.starts_with(prefix))
}

/// Reads a Dockerfile; everything that is not allowed is listed.
pub(super) fn vet(name: &str, text: &str, aliases: &BTreeSet<String>) -> Result<Dockerfile, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut wrong = |offset: usize, message: String, help: &str| {
        let problem = Problem::at(name, text, offset, message);
        problems.push(if help.is_empty() { problem } else { problem.with_help(help) });
    };
    let known = format!("known: {}", aliases.iter().cloned().collect::<Vec<_>>().join(", "));
    let (mut passed, mut arguments) = (Vec::new(), BTreeSet::new());
    let mut stages: Vec<String> = Vec::new();
    let mut froms = 0_usize;
    let instructions = instructions(text, &mut wrong);
    if instructions.len() > LIMIT {
        wrong(0, format!("a Dockerfile has at most {LIMIT} instructions"), "");
    }
    for instruction in &instructions {
        let offset = instruction.place(0);
        let keyword_end = instruction.text.find([' ', '\t']).unwrap_or(instruction.text.len());
        let keyword = instruction.text[..keyword_end].to_ascii_uppercase();
        let words = instruction.words(keyword_end);
        if !KNOWN.contains(&keyword.as_str()) {
            wrong(offset, format!("`{keyword}` is not allowed here"), &format!("known: {}", KNOWN.join(", ")));
            continue;
        }
        if froms == 0 && !matches!(keyword.as_str(), "FROM" | "ARG") {
            wrong(offset, "a Dockerfile begins with `FROM`".to_owned(), "");
        }
        let mut pieces = vec![Piece::Text(keyword.clone())];
        let mut rest = keyword_end;
        match keyword.as_str() {
            "FROM" => {
                froms += 1;
                match &words[..] {
                    [(at, image), more @ ..] => {
                        if aliases.contains(*image) {
                            pieces.extend([Piece::Text(" ".to_owned()), Piece::Alias((*image).to_owned())]);
                            rest = at + image.len();
                        } else if !stages.iter().any(|stage| stage == image) {
                            wrong(instruction.place(*at), format!("`{image}` is not an image of this exercise"), &known);
                        }
                        match more {
                            [] => {}
                            [(_, word), (_, stage)] if word.eq_ignore_ascii_case("as") => stages.push((*stage).to_owned()),
                            [(at, _), ..] => wrong(instruction.place(*at), "after the image comes `AS stage` or nothing".to_owned(), ""),
                        }
                    }
                    [] => wrong(offset, "`FROM` needs an image".to_owned(), &known),
                }
            }
            "COPY" => {
                for (at, word) in words.iter().take_while(|(_, word)| word.starts_with("--")) {
                    rest = at + word.len();
                    if let Some(from) = word.strip_prefix("--from=") {
                        pieces.push(Piece::Text(" --from=".to_owned()));
                        if aliases.contains(from) {
                            pieces.push(Piece::Alias(from.to_owned()));
                        } else if stages.iter().any(|stage| stage == from) {
                            pieces.push(Piece::Text(from.to_owned()));
                        } else {
                            let message = format!("`{from}` is neither an image of this exercise nor an earlier stage");
                            wrong(instruction.place(*at), message, &known);
                        }
                    } else if word.starts_with("--chmod=") || word.starts_with("--chown=") {
                        pieces.push(Piece::Text(format!(" {word}")));
                    } else {
                        wrong(instruction.place(*at), format!("`{word}` is not allowed here"), "known: --from, --chmod, --chown");
                    }
                }
                for (at, word) in words.iter().filter(|(_, word)| word.contains("<<")) {
                    let message = format!("`{word}`: here-documents are not allowed here");
                    wrong(instruction.place(*at), message, "put the text into a file and copy that");
                }
            }
            "ARG" => {
                for (at, word) in &unquoted(&words) {
                    let argument = word.split('=').next().unwrap_or_default();
                    if is_argument(argument) {
                        arguments.insert(argument.to_owned());
                    } else {
                        wrong(instruction.place(*at), format!("`{argument}` is not a name for an argument"), "");
                    }
                }
            }
            _ => {}
        }
        pieces.push(Piece::Text(instruction.text[rest..].to_owned()));
        passed.push(pieces);
    }
    if froms == 0 {
        wrong(0, "the Dockerfile has no `FROM`".to_owned(), &known);
    }
    if problems.is_empty() { Ok(Dockerfile { instructions: passed, arguments }) } else { Err(problems) }
}

impl Dockerfile {
    /// The file that is built: what was understood, with exact tags in the place of aliases.
    pub(super) fn pinned(&self, images: &BTreeMap<String, String>) -> String {
        let mut text = String::new();
        for instruction in &self.instructions {
            for piece in instruction {
                text.push_str(match piece {
                    Piece::Text(text) => text,
                    Piece::Alias(alias) => images.get(alias).unwrap_or(alias),
                });
            }
            text.push('\n');
        }
        text
    }
}

/// The words that do not begin inside quotes.
fn unquoted<'a>(words: &[(usize, &'a str)]) -> Vec<(usize, &'a str)> {
    let mut quote = None;
    let mut outside = Vec::new();
    for (at, word) in words {
        if quote.is_none() {
            outside.push((*at, *word));
        }
        for c in word.chars().filter(|c| matches!(c, '"' | '\'')) {
            quote = match quote {
                None => Some(c),
                Some(open) if open == c => None,
                open => open,
            };
        }
    }
    outside
}

/// An instruction on one line, and where its parts stand in the file.
struct Instruction {
    text: String,
    /// Where in `text` a line of the file begins, and at which byte of the file.
    lines: Vec<(usize, usize)>,
}

impl Instruction {
    /// The byte of the file at which a byte of the instruction stands.
    fn place(&self, at: usize) -> usize {
        let line = self.lines.iter().rev().find(|(start, _)| *start <= at);
        line.map_or(0, |(start, offset)| offset + at - start)
    }

    /// The words from some byte on.
    fn words(&self, from: usize) -> Vec<(usize, &str)> {
        let words = self.text[from..].split([' ', '\t']).filter(|word| !word.is_empty());
        words.map(|word| (word.as_ptr() as usize - self.text.as_ptr() as usize, word)).collect()
    }
}

/// The instructions of a file, continued lines put together. Where builders differ in what they take for a continuation,
/// the line is refused.
fn instructions(text: &str, wrong: &mut impl FnMut(usize, String, &str)) -> Vec<Instruction> {
    let is_odd = |c: char| (c.is_control() && !matches!(c, '\n' | '\r' | '\t')) || (c.is_whitespace() && !c.is_ascii()) || c == '\u{feff}';
    for (offset, c) in text.char_indices().filter(|(_, c)| is_odd(*c)) {
        wrong(offset, format!("the character U+{:04X} is not allowed here", u32::from(c)), "");
    }
    let mut found: Vec<Instruction> = Vec::new();
    let (mut offset, mut continues) = (0, false);
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r', ' ', '\t']);
        let indent = bare.len() - bare.trim_start_matches([' ', '\t']).len();
        let said = &bare[indent..];
        if said.contains('\r') {
            wrong(offset, "a carriage return in the middle of a line".to_owned(), "");
        }
        if said.starts_with('#') && found.is_empty() {
            let directive = said.trim_start_matches('#').trim().to_ascii_lowercase();
            let key = directive.split('=').next().unwrap_or_default().trim().to_owned();
            if directive.contains('=') && matches!(key.as_str(), "syntax" | "escape" | "check") {
                wrong(offset, format!("the directive `{key}` is not allowed here"), "leave the line out");
            }
        }
        if said.is_empty() || said.starts_with('#') {
            if continues {
                wrong(offset, "nothing may stand inside a continued instruction".to_owned(), "move the comment or the empty line in front of it");
            }
            offset += line.len();
            continue;
        }
        if said.ends_with("\\\\") {
            wrong(offset, "a line may not end in two backslashes".to_owned(), "builders do not agree on what that means");
        }
        let kept = said.strip_suffix('\\').unwrap_or(said);
        match found.last_mut().filter(|_| continues) {
            Some(instruction) => {
                if indent == 0 && !instruction.text.ends_with([' ', '\t']) {
                    wrong(offset, "this line goes on in the middle of a word of the line before".to_owned(), "put a space in front of it");
                }
                // A space of our own stands for the indentation.
                instruction.text.push(' ');
                instruction.lines.push((instruction.text.len(), offset + indent));
                instruction.text.push_str(kept);
            }
            None => found.push(Instruction { text: kept.to_owned(), lines: vec![(0, offset + indent)] }),
        }
        continues = said.ends_with('\\');
        offset += line.len();
    }
    if continues {
        wrong(offset.saturating_sub(1), "the last instruction is continued, but nothing follows".to_owned(), "");
    }
    found
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
        let expected = "FROM modeldown/python:1a AS base\nCOPY --from=modeldown/fraud-models:2b  /models /models\nFROM base\nCMD [\"x\"]\n";
        assert_eq!(pinned, expected);
    }

    #[test]
    fn quoted_defaults_are_no_names() {
        let vetted = vet("Dockerfile", "ARG GREETING=\"hello world\" NAME='x y'\nFROM modeldown/python\n", &aliases()).expect("it is allowed");
        assert_eq!(vetted.arguments, BTreeSet::from(["GREETING".to_owned(), "NAME".to_owned()]));
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
            ("FROM modeldown/python\nENV A=b\\\u{a0}\nRUN id\n", "model/Dockerfile:2:9: "),
            ("FROM modeldown/python\nENV A=b\\\u{b}\nRUN id\n", "model/Dockerfile:2:9: "),
            ("FROM modeldown/python\nENV A=b\\\\\nRUN id\n", "model/Dockerfile:2:1: "),
            ("FROM modeldown/python\nCOPY \\\n# x\n--from=evil / /\n", "model/Dockerfile:3:1: "),
            ("FROM modeldown/python\nCOPY \\\n\n--from=evil / /\n", "model/Dockerfile:3:1: "),
            ("FROM modeldown/python\nCOPY \\\n --from=evil / /\n", "model/Dockerfile:3:2: "),
            ("FROM modeldown/python\nCOPY --fro\\\n m=evil / /\n", "model/Dockerfile:2:6: "),
            ("FROM modeldown/python\nENV A=foo\\\nbar\n", "model/Dockerfile:3:1: "),
            ("FROM modeldown/python\nCMD a\rRUN id\n", "model/Dockerfile:2:1: "),
            ("ARG BUILDKIT_SYNTAX=evil\nFROM modeldown/python\n", "model/Dockerfile:1:5: "),
            ("FROM modeldown/python\nCMD a \\\n", "model/Dockerfile:2:8: "),
        ] {
            assert!(refused(text)[0].starts_with(place), "{text:?}: {:?}", refused(text));
        }
        assert_eq!(refused("FROM debian\nRUN a\nRUN b\n").len(), 3);
    }
}
