//! Everything about grading: the exam, its history, and the judges over it.

pub mod check;
pub mod cli;
pub mod exam;
pub mod history;
pub mod replay;
pub mod report;
pub mod score;
pub mod selftest;
