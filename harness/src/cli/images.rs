//! `harness images`

use std::path::Path;

use super::CliError;
use crate::engine::Engine;
use crate::exercise::Exercise;
use crate::images;
use crate::output;
use crate::progress::Progress;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  harness images           builds what environments need\n  harness images replay    the same, and the program that grading needs\n  harness images lint      builds one, and prints its exact tag"
)]
pub(super) struct Arguments {
    /// One image, such as `prometheus`, `fraud-models` or `replay`; else all that environments need.
    image: Option<String>,
}

impl Arguments {
    pub(super) async fn run(self, exercises: &Path) -> Result<(), CliError> {
        let engine = Engine::connect().await?;
        let progress = Progress::stderr();
        // Tools are built when one is asked for by name.
        let tools: Vec<&str> = images::TOOLS.into_iter().filter(|tool| self.image.as_deref() == Some(tool)).collect();
        let mut built = images::platform(&engine, exercises, &tools, &progress).await?;
        if self.image.as_deref() == Some(images::REPLAY) {
            built.insert(format!("modeldown/{}", images::REPLAY), images::replay(&engine, exercises, &progress).await?);
        }
        for id in Exercise::known(exercises)? {
            built.extend(images::ensure(&engine, &Exercise::find(&id, exercises)?, &progress).await?);
        }
        progress.done();
        let Some(image) = self.image else {
            for tag in built.into_values() {
                output::print(format_args!("{tag}"))?;
            }
            return Ok(());
        };
        let Some(tag) = built.get(&format!("modeldown/{image}")) else {
            let known: Vec<&str> =
                built.keys().filter_map(|alias| alias.strip_prefix("modeldown/")).chain(images::TOOLS).chain([images::REPLAY]).collect();
            return Err(CliError::usage(format!("no image `{image}`; known: {}", known.join(", "))));
        };
        output::print(format_args!("{tag}"))?;
        Ok(())
    }
}
