//! Everything that exists without grading: exercises and their variants, the strict Compose model, environments and leases.

pub mod cli;
pub mod compose;
pub mod document;
pub mod duration;
pub mod engine;
pub mod environment;
pub mod exercise;
pub mod exit;
pub mod images;
pub mod interrupt;
pub mod kustomize;
pub mod manifests;
pub mod output;
pub mod progress;
mod size;
pub mod submission;
pub mod vetted;
