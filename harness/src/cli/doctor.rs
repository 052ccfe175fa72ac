//! `harness doctor`

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::json;

use super::CliError;
use crate::engine::{self, Engine};
use crate::environment::Leases;
use crate::images::BASE;
use crate::output;

/// What the images and one environment take, in MiB.
const DISK_MIB: u64 = 5 * 1024;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Writes JSON.
    #[arg(long)]
    json: bool,
}

/// One thing that is needed.
struct Finding {
    what: &'static str,
    /// What was found, or what is wrong with it.
    found: Result<String, String>,
    /// How to get it.
    fix: &'static str,
}

impl Arguments {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let findings = look().await;
        let usable = findings.iter().all(|finding| finding.found.is_ok());
        if self.json {
            let rows: Vec<_> = findings
                .iter()
                .map(|finding| match &finding.found {
                    Ok(found) => json!({ "what": finding.what, "ok": true, "found": found }),
                    Err(wrong) => json!({ "what": finding.what, "ok": false, "found": wrong, "fix": finding.fix }),
                })
                .collect();
            output::print(json!({ "usable": usable, "requirements": rows }))?;
        } else {
            let mut table = Table::new();
            table.load_style(NOTHING);
            for finding in &findings {
                let (mark, text) = match &finding.found {
                    Ok(found) => ("ok", found.clone()),
                    Err(wrong) => ("MISSING", format!("{wrong}\n-> {}", finding.fix)),
                };
                table.add_row([mark, finding.what, &text]);
            }
            output::print(table.trim_fmt())?;
        }
        if usable { Ok(()) } else { Err(CliError::Unusable) }
    }
}

async fn look() -> Vec<Finding> {
    let mut findings = vec![Finding {
        what: "state folder",
        found: Leases::open().and_then(|leases| leases.owner()).map(|owner| format!("writable; owner {owner}")).map_err(|error| error.to_string()),
        fix: "make ~/.local/state writable, or set XDG_STATE_HOME",
    }];
    let engine = match Engine::connect().await {
        Ok(engine) => engine,
        Err(error) => {
            findings.push(Finding { what: "container engine", found: Err(error.to_string()), fix: "make setup" });
            return findings;
        }
    };
    let recent = version(&engine.version) >= (20, 10);
    let found = format!("{} at {}", engine.version, engine.host);
    findings.push(Finding { what: "container engine", found: if recent { Ok(found) } else { Err(found) }, fix: "install Docker 20.10 or newer" });
    findings.push(Finding { what: "Docker Compose v2", found: compose(&engine).await, fix: "make setup" });
    findings.push(Finding { what: "disk space", found: disk(&engine).await, fix: "free some space; `docker system df` says what takes it" });
    let base = engine.api.inspect_image(BASE).await.is_ok();
    let how = if base { "there" } else { "not there yet; it is pulled, or made with debootstrap, at the first start" };
    findings.push(Finding { what: "base image", found: Ok(how.to_owned()), fix: "" });
    if base {
        let fix = "share the folder for temporary files with the engine (Docker Desktop and Colima have a setting), or set TMPDIR to one that is";
        findings.push(Finding { what: "files through mounts", found: mount(&engine).await, fix });
    }
    // Whoever lacks these lacks nothing for exercises on Docker.
    let missing = |name: &str| format!("no `{name}`; exercises on Kubernetes need it");
    for (what, arguments) in [("kind", &["version", "--quiet"][..]), ("kubectl", &["version", "--client"])] {
        let mut command = engine.command_of(what);
        command.args(arguments);
        let output = engine::run(command, None).await.ok().filter(|output| output.status.success());
        let found = output.map_or_else(|| missing(what), |output| first_line(&output.stdout));
        findings.push(Finding { what, found: Ok(found), fix: "" });
    }
    let node = crate::images::node_here(&engine).await;
    let found = node.unwrap_or_else(|| "not there yet; it is pulled when the first cluster is made".to_owned());
    findings.push(Finding { what: "image of cluster nodes", found: Ok(found), fix: "" });
    findings
}

fn first_line(said: &[u8]) -> String {
    String::from_utf8_lossy(said).lines().next().unwrap_or_default().trim().to_owned()
}

fn version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

async fn compose(engine: &Engine) -> Result<String, String> {
    let mut command = engine.command();
    command.args(["compose", "version", "--short"]);
    let output = engine::run(command, None).await.map_err(|error| format!("the command `docker`: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().trim_start_matches('v').to_owned();
    if output.status.success() && version(&said).0 >= 2 { Ok(said) } else { Err("`docker compose version` finds none".to_owned()) }
}

async fn disk(engine: &Engine) -> Result<String, String> {
    let (root, free) = engine.disk().await.map_err(|error| error.to_string())?;
    let Some(free) = free else { return Ok("the engine's disk is not on this machine".to_owned()) };
    let free_mib = free >> 20;
    let said = format!("{} GiB free in {root}", free_mib / 1024);
    if free_mib >= DISK_MIB { Ok(said) } else { Err(format!("{said}; {} GiB are needed", DISK_MIB / 1024)) }
}

/// Writes a file on this side, copies it on the other, and reads the copy on this side.
async fn mount(engine: &Engine) -> Result<String, String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    std::fs::write(dir.path().join("there"), "and back").map_err(|error| error.to_string())?;
    let mut command = engine.command();
    command.args(["run", "--rm", "--network", "none", "--volume"]).arg(format!("{}:/mount", dir.path().display()));
    command.args([BASE, "cp", "/mount/there", "/mount/back"]);
    let output = engine::run(command, None).await.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(engine::tail(&output.stderr));
    }
    match std::fs::read_to_string(dir.path().join("back")) {
        Ok(back) if back == "and back" => Ok("written here, read there, and back".to_owned()),
        _ => Err("what a container writes does not arrive here".to_owned()),
    }
}
