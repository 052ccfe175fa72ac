//! Checks on hand-written histories.

use std::path::Path;

use harness::exercise::Exercise;

use super::*;

fn model_down() -> Exercise {
    Exercise::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../exercises/model-down")).expect("the exercise is right")
}

/// The rubric of the flagship.
pub(crate) fn model_down_rubric() -> Rubric {
    let exercise = model_down();
    let exam = Exam::parse("exam.yaml", &exercise.exam.text).expect("the exam is right");
    Rubric::parse("checks.yaml", &exercise.checks.text, &exam, &exercise.requirements).expect("the rubric is right")
}
