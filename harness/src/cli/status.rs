//! `harness status`

use std::path::{Path, PathBuf};

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::json;

use super::CliError;
use crate::engine::Engine;
use crate::environment::{Environment, KUBECONFIG, Leases, Record, Service};
use crate::exercise::{self, EngineKind, Exercise};
use crate::output::{self, OutputError};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The workspace; else every environment of yours.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Writes JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Of one workspace.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir: Some(dir), json: false }
    }

    pub(super) async fn run(self, exercises: Option<PathBuf>) -> Result<(), CliError> {
        let leases = Leases::open().map_err(CliError::Leases)?;
        let dir = self.dir.as_deref().map(super::folder).transpose()?;
        let mut records = leases.all().map_err(CliError::Leases)?;
        records.retain(|record| dir.as_ref().is_none_or(|dir| record.folder == *dir));
        if let (Some(dir), true) = (&dir, records.is_empty()) {
            return Err(CliError::usage(format!("nothing was started in `{}`; `harness start EXERCISE --dir DIR` does", dir.display())));
        }
        let exercises = exercise::folder(exercises).ok();
        let engine = Engine::connect().await?;
        let mut found = Vec::new();
        for record in records {
            let services = Environment::of(engine.clone(), &record).services().await?;
            found.push((record, services));
        }
        if self.json {
            let rows: Vec<_> = found.iter().map(|(record, services)| json!({ "lease": record, "services": services })).collect();
            output::print(json!({ "environments": rows }))?;
        } else if found.is_empty() {
            output::print("Nothing runs. `harness start EXERCISE` starts something.")?;
        } else {
            for (record, services) in &found {
                show(record, services, exercises.as_deref())?;
            }
        }
        Ok(())
    }
}

fn show(record: &Record, services: &[Service], exercises: Option<&Path>) -> Result<(), OutputError> {
    output::print(format_args!("{} in {}", record.exercise, record.folder.display()))?;
    let exercise = exercises.and_then(|exercises| Exercise::find(&record.exercise, exercises).ok());
    if let (Some(exercise), Ok(started)) = (exercise, record.started.parse::<jiff::Timestamp>()) {
        let minutes = jiff::Timestamp::now().duration_since(started).as_secs() / 60;
        let limit = i64::from(exercise.manifest.time_limit_minutes);
        let left = if minutes <= limit { format!("{} left", limit - minutes) } else { format!("{} over", minutes - limit) };
        output::print(format_args!("{minutes} of {limit} minutes have passed, {left}"))?;
    }
    if services.is_empty() {
        output::print(format_args!("stopped; `harness start {} --dir {}` starts it again", record.exercise, record.folder.display()))?;
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["SERVICE", "STATE", "ADDRESS"]);
    for service in services {
        let exited = service.exit_code.map(|code| format!(" ({code})")).unwrap_or_default();
        let health = service.health.as_ref().filter(|_| service.state == "running").map(|health| format!(", {health}")).unwrap_or_default();
        let since = service.unwell_since.as_deref().and_then(ago).map(|ago| format!(" for {ago}")).unwrap_or_default();
        let addresses: Vec<String> = service.published.iter().map(|(_, port)| format!("http://127.0.0.1:{port}")).collect();
        table.add_row([service.name.clone(), format!("{}{exited}{health}{since}", service.state), addresses.join(" ")]);
    }
    output::print(table.trim_fmt())?;
    let pager = services.iter().find(|service| service.name == "pager").and_then(|pager| pager.published.first());
    if let Some((_, port)) = pager {
        output::print(format_args!("\nWhom your alerts have reached: http://127.0.0.1:{port}"))?;
    }
    if record.engine == EngineKind::Kind {
        let kubeconfig = record.folder.join(KUBECONFIG);
        output::print(format_args!("\nThe cluster: kubectl --kubeconfig {} --namespace {} get pods", kubeconfig.display(), record.exercise))?;
    }
    if let Some(day) = &record.past {
        output::print(format_args!("What was scraped on the day before you came, {day} UTC: in Prometheus"))?;
    }
    Ok(())
}

/// How long ago a moment was, in words.
fn ago(moment: &str) -> Option<String> {
    let seconds = jiff::Timestamp::now().duration_since(moment.parse().ok()?).as_secs().max(0);
    Some(match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    })
}
