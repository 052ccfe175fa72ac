//! From text to a tree of spanned nodes, within budgets.

use std::collections::{BTreeSet, HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::{Kind, Node, Problem, Problems};

const LIMIT_BYTES: usize = 1 << 20;
const LIMIT_DEPTH: usize = 64;
const LIMIT_NODES: usize = 100_000;

/// The documents of a text, one after the other.
pub(super) fn parse(name: &str, text: &str) -> Result<Vec<Node>, Problems> {
    if text.len() > LIMIT_BYTES {
        return Err(one(Problem::at(name, "", 0, format!("the file has {} bytes; at most 1 MiB is read", text.len()))));
    }
    if let Some(offset) = text.find(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(one(Problem::at(name, text, offset, "a control character; only text belongs here")));
    }
    let mut builder = Builder {
        name,
        text,
        offsets: text.char_indices().map(|(offset, _)| offset).chain([text.len()]).collect(),
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
    };
    builder.documents().map_err(one)
}

fn one(problem: Problem) -> Problems {
    Problems(vec![problem])
}

struct Builder<'a> {
    name: &'a str,
    text: &'a str,
    /// The byte at which each character begins: the parser counts characters.
    offsets: Vec<usize>,
    events: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn documents(&mut self) -> Result<Vec<Node>, Problem> {
        let mut roots = Vec::new();
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(roots),
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                event => roots.push(self.node(event, span, 0)?),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.events.next() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => {
                let offset = self.offset(error.marker().index());
                Err(Problem::at(self.name, self.text, offset, format!("not YAML: {}", error.info())))
            }
            None => Err(Problem::at(self.name, self.text, self.text.len(), "the file ends too early")),
        }
    }

    fn offset(&self, index: usize) -> usize {
        self.offsets.get(index).copied().unwrap_or(self.text.len())
    }

    fn wrong(&self, span: Span, message: impl Into<String>) -> Problem {
        Problem::at(self.name, self.text, self.offset(span.start.index()), message)
    }

    fn count(&mut self, more: usize, span: Span) -> Result<(), Problem> {
        self.nodes += more;
        if self.nodes > LIMIT_NODES {
            return Err(self.wrong(span, format!("too many values: more than {LIMIT_NODES} once aliases are followed")));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Problem> {
        if depth > LIMIT_DEPTH {
            return Err(self.wrong(span, format!("nested more than {LIMIT_DEPTH} deep")));
        }
        let before = self.nodes;
        self.count(1, span)?;
        let start = self.offset(span.start.index());
        let (anchor, node) = match event {
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.wrong(span, "an alias to an anchor that is not finished: a value cannot hold itself"));
                };
                self.count(size, span)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span)?;
                let end = self.offset(span.end.index());
                let kind = Kind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                (anchor, Node { span: start..end.max(start), kind })
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span)?;
                let mut items = Vec::new();
                let end = loop {
                    match self.next()? {
                        (Event::SequenceEnd, span) => break span,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                };
                (anchor, Node { span: start..self.offset(end.end.index()).max(start), kind: Kind::Sequence(items) })
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span)?;
                let (entries, end) = self.entries(depth)?;
                (anchor, Node { span: start..self.offset(end.end.index()).max(start), kind: Kind::Mapping(entries) })
            }
            other => return Err(self.wrong(span, format!("not expected here: {other:?}"))),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn refuse_tag(&self, tag: Option<&saphyr_parser::Tag>, span: Span) -> Result<(), Problem> {
        tag.map_or(Ok(()), |tag| Err(self.wrong(span, format!("the tag `{tag}` is not known here; write the value without it"))))
    }

    fn entries(&mut self, depth: usize) -> Result<(Vec<(Node, Node)>, Span), Problem> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut merged: Vec<(Node, Node)> = Vec::new();
        let mut keys = BTreeSet::new();
        let end = loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break span;
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span, depth + 1)?;
            let Some(name) = key.text().map(str::to_owned) else {
                return Err(self.wrong(span, "a key must be plain text"));
            };
            if !keys.insert(name.clone()) {
                return Err(self.wrong(span, format!("the key `{name}` stands here twice")));
            }
            match value.kind {
                Kind::Mapping(inner) if name == "<<" => merged.extend(inner),
                Kind::Sequence(parts) if name == "<<" => {
                    for part in parts {
                        let Kind::Mapping(inner) = part.kind else { return Err(self.wrong(value_span, "only mappings can be merged")) };
                        merged.extend(inner);
                    }
                }
                _ if name == "<<" => return Err(self.wrong(value_span, "only mappings can be merged")),
                kind => entries.push((key, Node { span: value.span, kind })),
            }
        };
        for (key, value) in merged {
            if !entries.iter().any(|(present, _)| present.text() == key.text()) {
                entries.push((key, value));
            }
        }
        Ok((entries, end))
    }
}
