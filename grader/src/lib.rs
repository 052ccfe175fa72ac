//! Everything about grading: the exam, its history, and the judges over it.

pub mod history;
