//! Checking a value against the JSON Schema of a type, with messages for people.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use schemars::JsonSchema;
use serde_json::Value;

use super::{Document, Problem};

pub(super) fn check<T: JsonSchema>(document: &Document, value: &Value) -> Vec<Problem> {
    let schema = schemars::schema_for!(T).to_value();
    let validator = match jsonschema::validator_for(&schema) {
        Ok(validator) => validator,
        // A schema of ours that does not compile is caught by the first test that loads anything.
        Err(error) => return vec![document.problem("", format!("no schema for this file: {error}"))],
    };
    let mut problems = Vec::new();
    for error in validator.iter_errors(value) {
        complain(&error, document, &schema, &mut problems);
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems
}

fn complain(error: &ValidationError<'_>, document: &Document, schema: &Value, problems: &mut Vec<Problem>) {
    let pointer = error.instance_path().to_string();
    if let ValidationErrorKind::AnyOf { context } = error.kind()
        && let Some(errors) = of_its_shape(error, context)
    {
        for one in errors {
            complain(one, document, schema, problems);
        }
        return;
    }
    if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
        let known = known_keys(schema, &error.schema_path().to_string());
        let parent = document.root.pointer(&pointer).unwrap_or(&document.root);
        for key in unexpected {
            let offset = parent.entry(key).map_or(parent.span.start, |(name, _)| name.span.start);
            problems.push(document.problem_at(offset, format!("unknown key `{key}`")).with_help(format!("known: {known}")));
        }
        return;
    }
    let mut message = error.to_string();
    if message.len() > 300 {
        message = message.chars().take(300).collect::<String>() + " ...";
    }
    let choices = choices(schema, &error.schema_path().to_string());
    let problem = document.problem(&pointer, if choices.is_empty() { message } else { "not one of the known choices".to_owned() });
    problems.push(if choices.is_empty() { problem } else { problem.with_help(format!("known: {}", choices.join(", "))) });
}

/// Where a value may be one of several shapes, or absent: what is wrong with it as the only one whose type it has.
fn of_its_shape<'a>(error: &ValidationError<'_>, context: &'a [Vec<ValidationError<'static>>]) -> Option<&'a [ValidationError<'static>]> {
    let is_another =
        |one: &ValidationError<'_>| one.instance_path() == error.instance_path() && matches!(one.kind(), ValidationErrorKind::Type { .. });
    let mut shapes = context.iter().filter(|errors| !errors.iter().any(is_another));
    shapes.next().filter(|_| shapes.next().is_none()).map(Vec::as_slice)
}

/// The keys of the object whose `additionalProperties` stands at a path of the schema.
fn known_keys(schema: &Value, path: &str) -> String {
    let node = parent(schema, path);
    let keys = node.get("properties").and_then(Value::as_object);
    keys.map(|keys| keys.keys().map(String::as_str).collect::<Vec<_>>().join(", ")).unwrap_or_default()
}

/// The names that the choice at a path of the schema knows: words, or the single keys of its objects.
fn choices(schema: &Value, path: &str) -> Vec<String> {
    let node = parent(schema, path);
    let Some(options) = node.get("oneOf").and_then(Value::as_array) else { return Vec::new() };
    let mut names = Vec::new();
    for option in options {
        let words = option.get("enum").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        names.extend(option.get("const").into_iter().chain(words).filter_map(Value::as_str).map(str::to_owned));
        names.extend(option.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    }
    names
}

/// The schema that holds the keyword at the end of a path.
fn parent<'a>(schema: &'a Value, path: &str) -> &'a Value {
    let mut node = schema;
    let steps: Vec<&str> = path.split('/').skip(1).collect();
    for step in &steps[..steps.len().saturating_sub(1)] {
        let found = if *step == "$ref" {
            node.get("$ref").and_then(Value::as_str).and_then(|target| schema.pointer(target.trim_start_matches('#')))
        } else {
            node.pointer(&format!("/{step}"))
        };
        let Some(found) = found else { return node };
        node = found;
    }
    node
}
