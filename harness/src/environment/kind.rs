//! An environment on Kubernetes: a cluster that `kind` makes of a container of the engine's, and removes. What is applied goes through
//! `kubectl`, as everyone's does; what is looked at comes from the cluster's API.
//!
//! kind gives its containers labels of its own, which hold the cluster's name: that is the project of the lease, and a sweep finds them by it. Each
//! cluster has a network of its own, so that it meets no other of the machine's. The way to the cluster stands in a file of the workspace, never in `~/.kube/config`.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, ContainerUpdateBody, NetworkCreateRequest};
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions};
use futures_util::future::{Either, select};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use super::cluster::Foundation;
use super::docker::{EnvironmentError, Service, Wait};
use super::lease::Record;
use super::stocked::stocked;
use super::told::Told;
use super::workload::Workloads;
use crate::compose::{Images, Ownership};
use crate::engine::{self, Engine};
use crate::exit::Owner;
use crate::manifests;

/// The label with which kind marks its containers; its value is the cluster's name.
pub(super) const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";
/// The label that says what a node is for.
pub(super) const NODE_LABEL: &str = "io.x-k8s.kind.role";
/// The node of the cluster itself and of what is trusted, and the submission's.
pub(super) const CONTROL_PLANE: &str = "control-plane";
pub(super) const WORKER: &str = "worker";
/// Where a workspace says how its cluster is reached.
pub const KUBECONFIG: &str = ".modeldown/kubeconfig";
/// Which network kind puts a cluster into, instead of one that all of a machine's clusters share.
const NETWORK: &str = "KIND_EXPERIMENTAL_DOCKER_NETWORK";
/// What a cluster is made of: a node for the cluster and what is trusted, one for the submission, which may be restarted or full without the
/// other, and an API that this machine alone reaches.
const CONFIG: &str = "\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking: {apiServerAddress: 127.0.0.1}
nodes: [{role: control-plane}, {role: worker}]
";
/// The weights of processor time of the two nodes when it is scarce: a busy submission must not delay what measures it.
const SHARES: [(&str, i64); 2] = [(CONTROL_PLANE, 8_192), (WORKER, 512)];
/// The namespace of what every cluster has, and what there answers for names.
pub(super) const SYSTEM: &str = "kube-system";
const NAMES: &str = "coredns";
/// Asks on a node how kube-proxy is, which says for which addresses it has made its rules.
const PROXY: [&str; 6] = ["curl", "--fail", "--silent", "--max-time", "2", "http://localhost:10256/healthz"];
/// What stands before the name of an image that names no registry, where containerd keeps it.
const REGISTRY: &str = "docker.io";
/// Who applies, as the API's server notes it.
const MANAGER: &str = "modeldown";
/// How long its API may take for an answer.
pub(super) const ANSWER: Duration = Duration::from_secs(15);
/// How often a cluster is looked at while something is waited for.
const LOOK: Duration = Duration::from_millis(300);

/// Gives images a second tag on a node, and unpacks them.
const UNPACK: &str = r#"
until ctr version >/dev/null 2>&1; do sleep 0.2; done
while [ $# -gt 0 ]; do
    ctr --namespace k8s.io images tag --force "$1" "$2" || exit
    digest=$(ctr --namespace k8s.io images list "name==$1" | sed -n '2s/.*\(sha256:[0-9a-f]*\).*/\1/p')
    # Where it cannot be done before, it is done when the first container is made of it.
    ctr --namespace k8s.io snapshots unpack "$digest" >/dev/null 2>&1
    shift 2
done"#;

/// A cluster.
#[derive(Clone)]
pub struct Kind {
    pub(super) engine: Engine,
    /// Its name, which is the lease's project.
    pub(super) name: String,
    pub(super) lease: String,
    /// The namespace of the submission, which is called like the exercise.
    pub(super) namespace: String,
    kubeconfig: PathBuf,
    /// What an exam applies, and applies again.
    pub(super) submitted: Arc<Vec<Value>>,
    /// The Deployments and `ConfigMap`s with which it last served users well.
    pub(super) remembered: Arc<Mutex<Vec<Value>>>,
    /// What it tells of its workloads.
    told: Arc<OnceCell<Told>>,
    /// Whoever asks the API, and whoever listens to it for as long as it takes.
    client: Arc<OnceCell<kube::Client>>,
    listener: Arc<OnceCell<kube::Client>>,
}

/// A container that is a node.
pub(super) struct Node {
    pub(super) id: String,
    pub(super) role: String,
    is_running: bool,
}

impl Kind {
    /// The cluster of a lease; nothing is made.
    pub fn new(engine: Engine, record: &Record) -> Self {
        let kubeconfig = record.folder.join(KUBECONFIG);
        let (name, lease, namespace) = (record.project.clone(), record.id.clone(), record.exercise.clone());
        let (submitted, remembered, told, client, listener) = Default::default();
        Self { engine, name, lease, namespace, kubeconfig, submitted, remembered, told, client, listener }
    }

    /// The same, with the objects that an exam is held on.
    #[must_use]
    pub fn with(self, submitted: Vec<Value>) -> Self {
        Self { submitted: Arc::new(submitted), ..self }
    }

    /// Makes the cluster, unless it is there, with the exercise's images. One that was stopped with its engine is started again.
    pub(super) async fn up(&self, foundation: &Foundation<'_>) -> Result<(), EnvironmentError> {
        let nodes = self.nodes().await?;
        let is_whole = SHARES.iter().all(|(role, _)| nodes.iter().any(|node| node.role == *role)) && self.kubeconfig.exists();
        if is_whole {
            for node in nodes.iter().filter(|node| !node.is_running) {
                self.engine.api.start_container(&node.id, None::<StartContainerOptions>).await?;
            }
            return Ok(());
        }
        // The kubeconfig comes last: without one somebody was interrupted, and nobody knows what is there.
        for node in nodes {
            let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            self.engine.api.remove_container(&node.id, Some(force)).await?;
        }
        self.forget()?;
        if let Some(folder) = self.kubeconfig.parent() {
            std::fs::create_dir_all(folder).map_err(EnvironmentError::Leases)?;
        }
        let (ownership, submitted, trusted) = (foundation.ownership(), foundation.submitted(), foundation.trusted());
        let stocked = stocked(foundation, &ownership).await?;
        foundation.progress.step("creating the cluster");
        self.network(&ownership).await?;
        let mut command = self.kind(&["create", "cluster", "--name", &self.name, "--image", &stocked, "--config", "-"]);
        command.arg("--kubeconfig").arg(self.unfinished());
        let making = Box::pin(run(command, "kind create cluster", Some(CONFIG.as_bytes()), Owner::Engine));
        // What is unpacked ends with a cluster that does not come up: that says why.
        match select(making, Box::pin(self.unpack(&submitted, &trusted))).await {
            Either::Left((made, unpacking)) => {
                made?;
                unpacking.await?;
            }
            Either::Right((unpacked, making)) => {
                making.await?;
                unpacked?;
            }
        }
        for node in self.nodes().await? {
            let shares = SHARES.iter().find(|(role, _)| *role == node.role).map(|(_, shares)| *shares);
            let body = ContainerUpdateBody { cpu_shares: shares, ..ContainerUpdateBody::default() };
            self.engine.api.update_container(&node.id, body).await?;
        }
        std::fs::rename(self.unfinished(), &self.kubeconfig).map_err(EnvironmentError::Leases)
    }

    /// The containers that are its nodes.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>, EnvironmentError> {
        let filters = HashMap::from([("label", vec![format!("{CLUSTER_LABEL}={}", self.name)])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let found = self.engine.api.list_containers(Some(options)).await?;
        let read = |one: ContainerSummary| {
            let is_running = one.state == Some(ContainerSummaryStateEnum::RUNNING);
            Some(Node { id: one.id?, role: one.labels?.remove(NODE_LABEL)?, is_running })
        };
        Ok(found.into_iter().filter_map(read).collect())
    }

    /// The container that is the node of a role.
    pub(super) async fn node(&self, role: &str) -> Result<String, EnvironmentError> {
        let missing = || EnvironmentError::Command {
            command: "kind get nodes".to_owned(),
            output: format!("the cluster `{}` has no node of the role `{role}`", self.name),
            owner: Owner::Engine,
        };
        self.nodes().await?.into_iter().find(|node| node.role == role).map(|node| node.id).ok_or_else(missing)
    }

    async fn network(&self, ownership: &Ownership) -> Result<(), EnvironmentError> {
        let labels = ownership.all().map(|(label, value)| (label.to_owned(), value.to_owned()));
        let request = NetworkCreateRequest { name: self.name.clone(), labels: Some(labels.into()), ..NetworkCreateRequest::default() };
        match self.engine.api.create_network(request).await {
            Ok(_) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Unpacks on each node the images that it runs, under the tag that manifests name as well, as soon as it is there: a rollout that waited for that
    /// would seem to be stuck.
    async fn unpack(&self, submitted: &Images, trusted: &Images) -> Result<(), EnvironmentError> {
        let on = async |role: &str, images: &Images| {
            let node = loop {
                match self.nodes().await?.into_iter().find(|node| node.role == role && node.is_running) {
                    Some(node) => break node.id,
                    None => sleep(LOOK).await,
                }
            };
            let names = images.iter().flat_map(|(alias, exact)| [format!("{REGISTRY}/{exact}"), format!("{REGISTRY}/{alias}:{}", manifests::TAG)]);
            let words: Vec<String> = ["sh", "-c", UNPACK, "sh"].map(str::to_owned).into_iter().chain(names).collect();
            self.on_node(&node, &words).await.map(drop)
        };
        tokio::try_join!(on(WORKER, submitted), on(CONTROL_PLANE, trusted)).map(drop)
    }

    /// What a command on a node says.
    pub(super) async fn on_node(&self, node: &str, command: &[impl AsRef<OsStr>]) -> Result<String, EnvironmentError> {
        let mut docker = self.engine.command();
        docker.args(["exec", node]).args(command);
        run(docker, "docker exec", None, Owner::Engine).await
    }

    /// Waits until pods reach each other by Service and name: a node is ready some seconds before that. What answers for names is kept off the submission's
    /// node, and begins when Services work: whoever asks one before that waits half a minute for an answer.
    pub async fn wait_usable(&self, limit: Duration) -> Result<Wait<()>, EnvironmentError> {
        let deadline = Instant::now() + limit;
        if let Some(last_seen) = until(deadline, async || self.without_services().await).await {
            return Ok(Wait::Pending { last_seen });
        }
        self.keep_names().await?;
        let last_seen = until(deadline, async || self.without_names().await).await;
        Ok(last_seen.map_or(Wait::Met(()), |last_seen| Wait::Pending { last_seen }))
    }

    /// What keeps Services from working, if anything does: a node that has no rules for them yet, or no way to other nodes' pods.
    async fn without_services(&self) -> Result<Option<String>, EnvironmentError> {
        for node in self.nodes().await? {
            // It says that it is well before that.
            if !self.on_node(&node.id, &PROXY).await.is_ok_and(|said| said.contains("IPv4")) {
                return Ok(Some(format!("Services do not work yet: kube-proxy has made no rules on the node `{}`", node.role)));
            }
        }
        let everywhere = Api::<DaemonSet>::namespaced(self.client().await?, SYSTEM).list(&ListParams::default()).await?;
        let is_there = |one: &&DaemonSet| one.status.as_ref().is_some_and(|status| usize::try_from(status.number_ready) == Ok(SHARES.len()));
        let missing = everywhere.iter().find(|one| !is_there(one)).and_then(|one| one.metadata.name.as_deref());
        Ok(missing.map(|name| format!("Services do not work yet: `{name}` is not ready on every node")))
    }

    async fn without_names(&self) -> Result<Option<String>, EnvironmentError> {
        let names = Api::<Deployment>::namespaced(self.client().await?, SYSTEM).get(NAMES).await?;
        let answers = names.status.as_ref().is_some_and(|status| {
            let is_seen = status.observed_generation >= names.metadata.generation;
            is_seen && status.updated_replicas == status.replicas && status.available_replicas.unwrap_or(0) > 0
        });
        Ok(if answers { None } else { Some("names do not work yet: CoreDNS is not available".to_owned()) })
    }

    /// Keeps what answers for names off the submission's node.
    async fn keep_names(&self) -> Result<(), EnvironmentError> {
        let patch = Patch::Merge(json!({ "spec": { "template": { "spec": { "nodeSelector": { (manifests::CONTROL_PLANE): "" } } } } }));
        Api::<Deployment>::namespaced(self.client().await?, SYSTEM).patch(NAMES, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Applies objects, each as it stands: what somebody else changed in them is changed back.
    /// `owner` is whose they are: what the cluster refuses of them is theirs.
    pub async fn apply(&self, objects: &[Value], owner: Owner) -> Result<(), EnvironmentError> {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        let mut command = self.kubectl();
        command.args(["apply", "--server-side", "--force-conflicts", "--field-manager", MANAGER, "--filename", "-"]);
        let applied = run(command, "kubectl apply", Some(list.to_string().as_bytes()), owner).await;
        if applied.is_err() {
            self.client().await?.apiserver_version().await?;
        }
        applied.map(drop)
    }

    /// Waits until all Deployments of a namespace are there, or until one of them cannot come; `owner` is whose they are.
    pub async fn wait_settled(&self, namespace: &str, owner: Owner, limit: Duration) -> Result<Wait<Vec<Service>>, EnvironmentError> {
        let deadline = Instant::now() + limit;
        loop {
            match self.workloads(namespace).await?.settled(owner) {
                Wait::Pending { .. } if Instant::now() < deadline => sleep(LOOK).await,
                over => return Ok(over),
            }
        }
    }

    /// The submission's Deployments as they are now; none where there is no cluster.
    pub async fn services(&self) -> Result<Vec<Service>, EnvironmentError> {
        let nodes = self.nodes().await?;
        if nodes.is_empty() || nodes.iter().any(|node| !node.is_running) {
            return Ok(Vec::new());
        }
        // What is wrong with one cluster keeps nobody from hearing of others.
        Ok(match self.workloads(&self.namespace).await {
            Ok(workloads) => workloads.services(),
            Err(error) => vec![Service::unknown("cluster", error.to_string())],
        })
    }

    pub(super) async fn workloads(&self, namespace: &str) -> Result<Workloads, EnvironmentError> {
        let client = self.client().await?;
        let all = ListParams::default();
        let deployments = Api::<Deployment>::namespaced(client.clone(), namespace).list(&all).await?.items;
        let replica_sets = Api::<ReplicaSet>::namespaced(client.clone(), namespace).list(&all).await?.items;
        let pods = Api::<Pod>::namespaced(client, namespace).list(&all).await?.items;
        Ok(Workloads { deployments, replica_sets, pods })
    }

    /// The same as far as the cluster tells it by itself, for whoever looks at it all the time.
    pub(super) async fn told(&self, namespace: &str) -> Result<Workloads, EnvironmentError> {
        let watch = async || Told::of(&self.listener().await?, &[manifests::PLATFORM, &self.namespace]).await;
        match self.told.get_or_try_init(watch).await?.workloads(namespace) {
            Some(workloads) => Ok(workloads),
            None => self.workloads(namespace).await,
        }
    }

    /// Whoever asks the API, and does not wait long.
    pub(super) async fn client(&self) -> Result<kube::Client, EnvironmentError> {
        Ok(self.client.get_or_try_init(|| self.connected(Some(ANSWER))).await?.clone())
    }

    /// Whoever listens to the API: what it says may come at any time, and what it refuses is not asked for again.
    pub(super) async fn listener(&self) -> Result<kube::Client, EnvironmentError> {
        Ok(self.listener.get_or_try_init(|| self.connected(None)).await?.clone())
    }

    async fn connected(&self, patience: Option<Duration>) -> Result<kube::Client, EnvironmentError> {
        let wrong = |source| EnvironmentError::Kubeconfig { path: self.kubeconfig.clone(), source };
        let read = Kubeconfig::read_from(&self.kubeconfig).map_err(wrong)?;
        let mut config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.map_err(wrong)?;
        // It is on this machine, whatever leads to others.
        config.proxy_url = None;
        (config.connect_timeout, config.read_timeout) = (Some(ANSWER), patience);
        // What an answer may take counts from its question, however long a connection lay idle before.
        (config.reset_reader_on_write, config.default_retry) = (true, patience.is_some());
        Ok(kube::Client::try_from(config)?)
    }

    /// Forgets the way to the cluster. The cluster itself goes with what else belongs to the lease.
    pub fn forget(&self) -> Result<(), EnvironmentError> {
        for path in [&self.kubeconfig, &self.unfinished()] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(EnvironmentError::Leases(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Where the way to a cluster stands that is not whole yet.
    fn unfinished(&self) -> PathBuf {
        self.kubeconfig.with_extension("new")
    }

    fn kind(&self, arguments: &[&str]) -> Command {
        let mut command = self.engine.command_of("kind");
        command.env(NETWORK, &self.name).args(arguments);
        command
    }

    fn kubectl(&self) -> Command {
        let mut command = self.engine.command_of("kubectl");
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }
}

/// Looks until nothing is lacking; says what still was when time was over. What cannot be asked yet comes up.
pub(super) async fn until(deadline: Instant, lacking: impl AsyncFn() -> Result<Option<String>, EnvironmentError>) -> Option<String> {
    loop {
        let last_seen = lacking().await.unwrap_or_else(|error| Some(error.to_string()))?;
        if Instant::now() > deadline {
            return Some(last_seen);
        }
        sleep(LOOK).await;
    }
}

/// Runs a command to its end, and says what it said.
pub(super) async fn run(command: Command, name: &str, input: Option<&[u8]>, owner: Owner) -> Result<String, EnvironmentError> {
    let failed = |output: String, owner| EnvironmentError::Command { command: name.to_owned(), output, owner };
    let output = engine::run(command, input).await.map_err(|error| failed(error.to_string(), Owner::Engine))?;
    if output.status.success() { Ok(String::from_utf8_lossy(&output.stdout).into_owned()) } else { Err(failed(engine::tail(&output.stderr), owner)) }
}
