//! A node with an exercise's images in it, made once: giving them to every cluster's nodes takes longer than the cluster.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker as Api;
use bollard::models::{ContainerConfig, ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CommitContainerOptionsBuilder, CreateContainerOptions, ListImagesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptions, StartContainerOptions, WaitContainerOptions,
};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::cluster::Foundation;
use super::docker::EnvironmentError;
use crate::compose::{Images, Ownership};
use crate::exercise::hex;
use crate::exit::Owner;

/// Lets the node's own containerd take in images from standard input, in the place where kind's build put those of the control plane.
const TAKE: &str = "\
containerd >/tmp/containerd.log 2>&1 &
until ctr version >/dev/null 2>&1; do
    kill -0 $! 2>/dev/null || { tail -n 5 /tmp/containerd.log >&2; exit 1; }
    sleep 0.1
done
ctr --namespace k8s.io images import --no-unpack - >/dev/null
code=$?
kill $!
wait $!
rm /tmp/containerd.log
exit $code";
/// How long the engine may take for an answer: it has read all images before it gives the first byte of them.
const PATIENCE: Duration = Duration::from_mins(10);
/// After how many seconds a node that an exercise no longer has is nobody's who just made it.
const OLD: i64 = 24 * 60 * 60;

/// The image of a node that has a cluster's images under their exact tags, made of what its nodes are made of unless it is there.
pub(super) async fn stocked(foundation: &Foundation<'_>, ownership: &Ownership) -> Result<String, EnvironmentError> {
    let (node, images) = (foundation.node, foundation.in_nodes());
    let mut sum = Sha256::new();
    for part in [node, TAKE].into_iter().chain(images.values().map(String::as_str)) {
        sum.update(part);
        sum.update([0]);
    }
    let api = foundation.engine.api.clone().with_timeout(PATIENCE);
    let (repository, tag) = (format!("modeldown/node-{}", foundation.lease.record.exercise), hex(&sum.finalize())[..12].to_owned());
    let exact = format!("{repository}:{tag}");
    if api.inspect_image(&exact).await.is_ok() {
        return Ok(exact);
    }
    foundation.progress.step("making nodes with the exercise's images (a minute, once)");
    let labels = |value: fn(&str) -> &str| Some(ownership.all().map(|(label, it)| (label.to_owned(), value(it).to_owned())).into());
    let container = ContainerCreateBody {
        image: Some(node.to_owned()),
        entrypoint: Some(["sh", "-c", TAKE].map(str::to_owned).to_vec()),
        cmd: Some(Vec::new()),
        labels: labels(|value| value),
        attach_stdin: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            security_opt: Some(vec!["seccomp=unconfined".to_owned()]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let id = api.create_container(None::<CreateContainerOptions>, container).await?.id;
    let given = give(&api, &id, &images).await;
    let committed = async {
        // It starts as the node that it is made of does, and belongs to no lease.
        let first = api.inspect_image(node).await?.config.unwrap_or_default();
        let config = ContainerConfig { entrypoint: first.entrypoint, cmd: first.cmd, labels: labels(|_| ""), ..ContainerConfig::default() };
        let commit = CommitContainerOptionsBuilder::new().container(&id).repo(&repository).tag(&tag).build();
        api.commit_container(commit, config).await
    };
    let made = match given {
        Ok(()) => committed.await.map(drop).map_err(EnvironmentError::from),
        Err(error) => Err(error),
    };
    api.remove_container(&id, Some(RemoveContainerOptionsBuilder::new().force(true).v(true).build())).await?;
    made?;
    forget(&api, &repository).await?;
    Ok(exact)
}

/// Gives images to the script in a container, and waits until it has taken them.
async fn give(api: &Api, container: &str, images: &Images) -> Result<(), EnvironmentError> {
    let options = AttachContainerOptionsBuilder::new().stdin(true).stdout(true).stderr(true).stream(true).build();
    let mut attached = api.attach_container(container, Some(options)).await?;
    api.start_container(container, None::<StartContainerOptions>).await?;
    let names: Vec<&str> = images.values().map(String::as_str).collect();
    let mut archive = Box::pin(api.export_images(&names));
    let give = async {
        while let Some(piece) = archive.next().await {
            // A script that ends before it has all says why.
            if attached.input.write_all(&piece?).await.is_err() {
                break;
            }
        }
        drop(attached.input.shutdown().await);
        Ok::<_, EnvironmentError>(())
    };
    let mut said = String::new();
    let listen = async {
        while let Some(piece) = attached.output.next().await {
            said += &piece?.to_string();
        }
        Ok(())
    };
    tokio::try_join!(give, listen)?;
    match api.wait_container(container, None::<WaitContainerOptions>).next().await {
        Some(Err(bollard::errors::Error::DockerContainerWaitError { .. })) => {
            Err(EnvironmentError::Command { command: "ctr images import".to_owned(), output: said, owner: Owner::Engine })
        }
        Some(Err(error)) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Removes nodes that an exercise no longer has, but for what a cluster still uses.
async fn forget(api: &Api, repository: &str) -> Result<(), EnvironmentError> {
    let filters = HashMap::from([("reference", vec![repository.to_owned()])]);
    let found = api.list_images(Some(ListImagesOptionsBuilder::new().filters(&filters).build())).await?;
    let yesterday = jiff::Timestamp::now().as_second() - OLD;
    for tag in found.into_iter().filter(|image| image.created < yesterday).flat_map(|image| image.repo_tags) {
        // The engine refuses what is in use.
        drop(api.remove_image(&tag, None::<RemoveImageOptions>, None).await);
    }
    Ok(())
}
