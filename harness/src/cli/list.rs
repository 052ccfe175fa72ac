//! `harness list`

use std::path::Path;

use serde_json::json;

use super::CliError;
use crate::exercise::{Case, Exercise};
use crate::output;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Writes JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(&self, exercises: &Path) -> Result<(), CliError> {
        let mut listed = Vec::new();
        for id in Exercise::known(exercises)? {
            let exercise = Exercise::find(&id, exercises)?;
            // Their author looks here for what is wrong with them.
            Case::all(&exercise)?;
            listed.push(exercise.manifest);
        }
        if self.json {
            let rows: Vec<_> = listed
                .iter()
                .map(|one| {
                    json!({
                        "id": one.id, "title": one.title, "summary": one.summary,
                        "time_limit_minutes": one.time_limit_minutes, "pass_mark": one.pass_mark,
                    })
                })
                .collect();
            output::print(json!({ "exercises": rows }))?;
        } else {
            for one in listed {
                output::print(format_args!("{:<16} {} min   {}", one.id, one.time_limit_minutes, one.summary))?;
            }
        }
        Ok(())
    }
}
