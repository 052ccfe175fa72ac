//! YAML with positions and budgets: every file that a person writes is read here, and every complaint names its place.
//!
//! A file becomes a tree of spanned nodes, the tree is checked against the JSON Schema of the type that is wanted, and only
//! then becomes that type: so all that is wrong is listed, not the first thing only.

mod parse;
mod problem;
mod schema;

use std::ops::Range;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use problem::{Problem, Problems};

/// A parsed file.
#[derive(Debug, Clone)]
pub struct Document {
    /// What errors call the file.
    pub name: String,
    /// Its text.
    pub text: Arc<str>,
    /// Its content.
    pub root: Node,
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands, in bytes of the text.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A scalar.
    Scalar {
        /// Its text without quotes.
        text: String,
        /// Whether it was written without quotes, so that `3` is a number.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping in the order of the file; keys are unique.
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// The value of a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// The key and its value, if this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<(&Node, &Node)> {
        let Kind::Mapping(entries) = &self.kind else { return None };
        entries.iter().find(|(name, _)| name.text() == Some(key)).map(|(name, value)| (name, value))
    }

    /// The text, if this is a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The node at a JSON pointer (RFC 6901).
    pub fn pointer(&self, pointer: &str) -> Option<&Node> {
        pointer.split('/').skip(1).try_fold(self, |node, step| {
            let step = step.replace("~1", "/").replace("~0", "~");
            match &node.kind {
                Kind::Sequence(items) => items.get(step.parse::<usize>().ok()?),
                Kind::Mapping(_) => node.get(&step),
                Kind::Scalar { .. } => None,
            }
        })
    }

    /// The value by the core schema of YAML 1.2.
    pub fn value(&self) -> Value {
        match &self.kind {
            Kind::Scalar { text, plain: false } => Value::String(text.clone()),
            Kind::Scalar { text, plain: true } => match text.as_str() {
                "" | "~" | "null" | "Null" | "NULL" => Value::Null,
                "true" | "True" | "TRUE" => Value::Bool(true),
                "false" | "False" | "FALSE" => Value::Bool(false),
                text => number(text).unwrap_or_else(|| Value::String(text.to_owned())),
            },
            Kind::Sequence(items) => items.iter().map(Node::value).collect(),
            Kind::Mapping(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.text().unwrap_or_default().to_owned(), value.value())).collect())
            }
        }
    }
}

fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') || digits.contains('_') {
        return None;
    }
    if let Ok(whole) = text.strip_prefix('+').unwrap_or(text).parse::<i64>() {
        return Some(whole.into());
    }
    text.parse::<f64>().ok().filter(|float| float.is_finite()).map(Into::into)
}

impl Document {
    /// Parses a text; `name` is what errors call the file.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problems> {
        let wrong = |offset, message| Problems(vec![Problem::at(name, text, offset, message)]);
        let mut roots = parse::parse(name, text)?.into_iter();
        match (roots.next(), roots.next()) {
            (None, _) => Err(wrong(0, "the file is empty")),
            (Some(_), Some(second)) => Err(wrong(second.span.start, "only one document belongs in this file")),
            (Some(root), None) => Ok(Self { name: name.to_owned(), text: text.into(), root }),
        }
    }

    /// Parses a text of any number of documents, of which each knows its place in the whole; those without content are left out.
    pub fn parse_all(name: &str, text: &str) -> Result<Vec<Self>, Problems> {
        let whole: Arc<str> = text.into();
        let roots = parse::parse(name, text)?.into_iter().filter(|root| !root.value().is_null());
        Ok(roots.map(|root| Self { name: name.to_owned(), text: whole.clone(), root }).collect())
    }

    /// A complaint about the node at a JSON pointer; about the whole file where there is none.
    pub fn problem(&self, pointer: &str, message: impl Into<String>) -> Problem {
        let node = self.root.pointer(pointer).unwrap_or(&self.root);
        self.problem_at(node.span.start, message)
    }

    /// A complaint about a place, in bytes of the text.
    pub fn problem_at(&self, offset: usize, message: impl Into<String>) -> Problem {
        Problem::at(&self.name, &self.text, offset, message)
    }
}

/// Reads a file into a type, or lists everything that is wrong with it.
pub fn load<T: DeserializeOwned + JsonSchema>(name: &str, text: &str) -> Result<(T, Document), Problems> {
    let document = Document::parse(name, text)?;
    Ok((read(&document)?, document))
}

/// The same for a document that is parsed already.
pub fn read<T: DeserializeOwned + JsonSchema>(document: &Document) -> Result<T, Problems> {
    let value = document.root.value();
    let problems = schema::check::<T>(document, &value);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    serde_json::from_value(value).map_err(|error| Problems(vec![document.problem("", error.to_string())]))
}

/// The JSON Schema of a file, as `docs/schema` has it.
pub fn schema<T: JsonSchema>() -> String {
    // A schema is JSON already.
    serde_json::to_string_pretty(schemars::schema_for!(T).as_value()).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, JsonSchema, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        id: String,
        #[schemars(range(min = 1, max = 10))]
        count: u32,
        #[serde(default)]
        tags: Vec<String>,
    }

    fn complaints(text: &str) -> Vec<String> {
        load::<Sample>("sample.yaml", text).expect_err("it must be refused").0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_right_file_is_read() {
        let (sample, document) = load::<Sample>("sample.yaml", "id: a\ncount: 3\ntags: [x, 'y']\n").expect("it is right");
        assert_eq!(sample, Sample { id: "a".to_owned(), count: 3, tags: vec!["x".to_owned(), "y".to_owned()] });
        assert_eq!(&document.text[document.root.get("count").expect("it is there").span.clone()], "3");
    }

    #[test]
    fn everything_wrong_is_listed_with_its_place() {
        let found = complaints("id: a\ncount: 30\ntag: []\ntags: 7\n");
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().any(|line| line.starts_with("sample.yaml:2:8: ")), "{found:?}");
        assert!(found.iter().any(|line| line.starts_with("sample.yaml:3:1: ") && line.contains("`tag`")), "{found:?}");
        assert!(found.iter().any(|line| line.starts_with("sample.yaml:4:7: ")), "{found:?}");
    }

    #[test]
    fn hostile_files_are_refused_by_budget_and_position() {
        let laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n";
        assert!(complaints(laughs)[0].contains("too many values"), "{:?}", complaints(laughs));
        assert!(complaints(&"[".repeat(100))[0].contains("nested"), "{:?}", complaints(&"[".repeat(100)));
        assert!(complaints("id: a\nid: b\n")[0].starts_with("sample.yaml:2:1: "));
        assert!(complaints(&format!("id: {}\n", "x".repeat(2 << 20)))[0].contains("1 MiB"));
        assert!(complaints("id: [a\ncount: 1\n")[0].starts_with("sample.yaml:2:"), "{:?}", complaints("id: [a\ncount: 1\n"));
        assert!(complaints("")[0].contains("empty"));
        assert!(complaints("id: a\n---\nid: b\n")[0].starts_with("sample.yaml:3:1: only one document"));
        assert!(complaints("id: !!python/object a\ncount: 1\n")[0].contains("tag"));
    }

    #[test]
    fn each_of_several_documents_knows_its_place() {
        let documents =
            Document::parse_all("sample.yaml", "---\n# nothing\n---\nid: a\ncount: 1\n---\nid: b\nlate: 1\ncount: 1\n").expect("it is YAML");
        assert_eq!(documents.len(), 2);
        assert_eq!(read::<Sample>(&documents[0]).expect("it is right").id, "a");
        let Problems(problems) = read::<Sample>(&documents[1]).expect_err("it is wrong");
        assert!(problems[0].to_string().starts_with("sample.yaml:8:1: unknown key `late`"), "{problems:?}");
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "it is read to be refused")]
    struct Holder {
        sample: Option<Sample>,
        either: Option<Word>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(untagged)]
    #[allow(dead_code, reason = "it is read to be refused")]
    enum Word {
        Text(String),
        Sample(Sample),
    }

    #[test]
    fn what_is_wrong_within_an_optional_value_is_told_at_its_place() {
        let text = "sample: {id: a, count: 1, tagged: []}\neither:\n  id: 5\n  count: 1\n";
        let Err(Problems(problems)) = load::<Holder>("holder.yaml", text) else { panic!("it must be refused") };
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(said[0].starts_with("holder.yaml:1:27: unknown key `tagged` (known: "), "{said:?}");
        assert!(said[1].starts_with("holder.yaml:3:7: ") && said.len() == 2, "{said:?}");
    }

    #[test]
    fn anchors_and_merge_keys_mean_what_compose_makes_of_them() {
        let document = Document::parse("x", "base: &b {a: 1, b: 2}\nuse:\n  <<: *b\n  b: 3\n").expect("it is right");
        assert_eq!(document.root.get("use").expect("it is there").value(), serde_json::json!({"b": 3, "a": 1}));
    }
}
