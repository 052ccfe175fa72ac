//! `report.html`, for people: one file that needs nothing else.

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, HtmlEscape, UndefinedBehavior, context};

use super::Report;
use super::lanes::Lanes;
use super::markdown::points;
use super::picture::Picture;

pub(super) fn render(report: &Report) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_filter("code", code);
    environment.add_template("report.html", include_str!("report.html"))?;
    let rows: Vec<_> = report.checks.iter().map(|check| context! { points => points(check), check => Serde(check) }).collect();
    let replayed = report.replayed.as_ref().map(|replayed| {
        let drawn = |episode, is_quiet| context! { episode => Serde(episode), picture => Serde(Lanes::new(episode, is_quiet)) };
        let mut episodes: Vec<_> = replayed.incidents.iter().map(|incident| drawn(incident, false)).collect();
        episodes.push(drawn(&replayed.quiet, true));
        episodes
    });
    environment.get_template("report.html")?.render(context! {
        report => Serde(report),
        rows => rows,
        score => report.score_text(),
        sentence => report.sentence(),
        open => Serde(report.open()),
        started => report.started.get(..16).unwrap_or(&report.started).replace('T', " "),
        picture => Serde(Picture::new(report)),
        replayed => replayed,
    })
}

/// A text with what stands between backticks set as code, and everything else as it is.
fn code(text: &str) -> Value {
    let mut html = String::new();
    for (index, piece) in text.split('`').enumerate() {
        let escaped = HtmlEscape(piece).to_string();
        if index % 2 == 1 { html.extend(["<code>", &escaped, "</code>"]) } else { html.push_str(&escaped) }
    }
    Value::from_safe_string(html)
}
