//! The day before a candidate came, in the volume that their Prometheus keeps its data in.
//!
//! The volume is no part of their Compose file's own: `docker compose down --volumes` leaves it, and a sweep of the lease finds it by its
//! labels. Blocks are made by Prometheus' own tool, in a container of the image that will read them.

use std::collections::HashMap;

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{RemoveContainerOptionsBuilder, RemoveVolumeOptions};
use jiff::Timestamp;

use super::docker::EnvironmentError;
use crate::compose::Ownership;
use crate::engine::{self, Engine};
use crate::exercise::Recorded;
use crate::exit::Owner;

const SECONDS_A_DAY: i64 = 86_400;

/// The volume of a project.
pub fn past_volume(project: &str) -> String {
    format!("{project}_modeldown-past")
}

/// Whether a volume is there.
pub async fn has_volume(engine: &Engine, name: &str) -> Result<bool, EnvironmentError> {
    match engine.api.inspect_volume(name).await {
        Ok(_) => Ok(true),
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes a volume that holds what was recorded, dated as the day before today, for an image of Prometheus that keeps its data in `folder`;
/// says when that day began. A volume of that name that is there already, half filled, is made anew.
pub async fn fill_volume(
    engine: &Engine,
    name: &str,
    (image, folder): (&str, &str),
    recorded: &Recorded,
    ownership: &Ownership,
) -> Result<Timestamp, EnvironmentError> {
    // Whoever was interrupted while filling it may have left the container for a moment.
    let filling = format!("{name}-filling");
    let force = RemoveContainerOptionsBuilder::new().force(true).build();
    match engine.api.remove_container(&filling, Some(force)).await {
        Ok(()) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {}
        Err(error) => return Err(error.into()),
    }
    match engine.api.remove_volume(name, None::<RemoveVolumeOptions>).await {
        Ok(()) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let labels: HashMap<String, String> = ownership.all().map(|(label, value)| (label.to_owned(), value.to_owned())).into();
    let request = VolumeCreateRequest { name: Some(name.to_owned()), labels: Some(labels.clone()), ..VolumeCreateRequest::default() };
    engine.api.create_volume(request).await?;
    let now = Timestamp::now().as_second();
    let midnight = now - now.rem_euclid(SECONDS_A_DAY) - SECONDS_A_DAY;
    let mut command = engine.command();
    command.args([
        "run",
        "--rm",
        "--interactive",
        "--pull",
        "never",
        "--name",
        &filling,
        "--network",
        "none",
        "--read-only",
        "--cap-drop",
        "ALL",
        "--tmpfs",
        "/tmp:mode=1777",
    ]);
    command.args(labels.iter().flat_map(|(label, value)| ["--label".to_owned(), format!("{label}={value}")]));
    command.args(["--volume", &format!("{name}:{folder}"), "--entrypoint", "sh", image, "-c"]);
    command.arg("cat > /tmp/past && promtool tsdb create-blocks-from openmetrics --quiet /tmp/past \"$0\"").arg(folder);
    let failed = |output: String| EnvironmentError::Command { command: "docker run promtool".to_owned(), output, owner: Owner::Engine };
    let output = engine::run(command, Some(recorded.open_metrics(midnight).as_bytes())).await.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(engine::tail(&[output.stdout, output.stderr].concat())));
    }
    Ok(Timestamp::from_second(midnight).unwrap_or_default())
}
