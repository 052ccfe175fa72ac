//! What an exam does with a cluster: it looks at pods and at what they belong to, runs commands in them, and disturbs them from the node that they are
//! on. A service is a Deployment here, ours or the submission's; a replica is a pod.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::PoisonError;
use std::time::Duration;

use bollard::query_parameters::RestartContainerOptionsBuilder;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{select, unfold};
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, ContainerStatus, Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, AttachParams, AttachedProcess, DeleteParams, EvictParams, ListParams, LogParams, Patch, PatchParams};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::compat::FuturesAsyncReadCompatExt;
use tokio_util::io::ReaderStream;

use super::disk::Disk;
use super::docker::{Disturbance, EnvironmentError, Fault, OUTPUT_LIMIT, OUTPUT_MOST, Output, Service, Transition, Unread, Wait};
use super::exam::{Replica, Running, Streams};
use super::kind::{CLUSTER_LABEL, Kind, NODE_LABEL, SYSTEM, WORKER, until};
use super::usage::{Spent, Usage};
use super::workload::{REVISION, Workloads};
use crate::compose::ROLE_LABEL;
use crate::exit::Owner;
use crate::manifests::PLATFORM;
use crate::size;

/// How often pods are looked at while something is waited for, and how often for what became of them.
const LOOK: Duration = Duration::from_millis(500);
const SEE: Duration = Duration::from_secs(1);
/// How long a node may take to boot.
const BOOTS: Duration = Duration::from_mins(1);
/// How long a pod may take to follow one that was ended under a command.
const FOLLOWS: Duration = Duration::from_secs(20);
/// How much may be on its way to a command, or from it, in bytes.
const PIPE: usize = 1 << 20;
/// The lines of a log that are kept.
const LOG_LINES: i64 = 2_000;
/// The `ConfigMap` that the cluster puts into every namespace.
const CLUSTERS_OWN: &str = "kube-root-ca.crt";
/// A tag that no image has.
const NOWHERE: &str = "gone";
/// Asks for more memory than there is.
const EXHAUST: [&str; 2] = ["tail", "/dev/zero"];
/// With which code the cluster says that a budget refuses an eviction.
const TOO_MANY: u16 = 429;
/// Whom a template was changed by, as `kubectl rollout restart` says it.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";
/// Kills all processes of a container, by its id, from its node.
const KILL: &str = r#"for group in /proc/[0-9]*/cgroup; do if grep -q "$0" "$group"; then pid=${group#/proc/}; kill -KILL "${pid%/cgroup}"; fi; done 2>/dev/null; true"#;

/// What a Deployment's pods ran before the grader gave it an image that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misreleased {
    /// The Deployment.
    pub deployment: String,
    container: String,
    image: String,
}

/// What became of a wish to evict a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Eviction {
    /// The pod goes.
    Granted,
    /// A budget refuses it, for now; with the cluster's words.
    Refused(String),
    /// It cannot be evicted at all, such as where two budgets are about it; with the cluster's words.
    Impossible(String),
}

impl Kind {
    /// Asks the cluster whether it is there.
    pub async fn ping(&self) -> Result<(), EnvironmentError> {
        self.client().await?.apiserver_version().await?;
        Ok(())
    }

    async fn pods(&self, namespace: &str) -> Result<Api<Pod>, EnvironmentError> {
        Ok(Api::namespaced(self.client().await?, namespace))
    }

    async fn deployments(&self) -> Result<Api<Deployment>, EnvironmentError> {
        Ok(Api::namespaced(self.client().await?, &self.namespace))
    }

    /// The namespace and the newest ready pod of a service, else its newest; of ours where it is one of ours, which no submission's is called like.
    async fn pod_of(&self, service: &str) -> Result<Option<(&str, Pod)>, EnvironmentError> {
        for namespace in [PLATFORM, &self.namespace] {
            let mut pods = self.workloads(namespace).await?.pods_of(|one| one.metadata.name.as_deref() == Some(service));
            pods.sort_by_key(|pod| (is_ready(pod), pod.metadata.creation_timestamp.clone()));
            if let Some(newest) = pods.pop() {
                return Ok(Some((namespace, newest)));
            }
        }
        Ok(None)
    }

    /// The same of a service that must be there.
    async fn our_pod(&self, service: &str) -> Result<(&str, Pod), EnvironmentError> {
        let why = || EnvironmentError::Command {
            command: format!("kubectl get pods --namespace {PLATFORM}"),
            output: format!("`{service}` has no pod"),
            owner: Owner::Engine,
        };
        self.pod_of(service).await?.ok_or_else(why)
    }

    /// What the cluster says of something that a submission may have put into any state: `Err` with its words where it refuses, as long as it still answers.
    async fn refusable<T>(&self, done: Result<T, kube::Error>) -> Result<Result<T, String>, EnvironmentError> {
        match done {
            Ok(done) => Ok(Ok(done)),
            Err(error) => {
                self.ping().await?;
                Ok(Err(if let kube::Error::Api(status) = error { status.message } else { error.to_string() }))
            }
        }
    }

    /// Runs a command in the first container of a pod.
    async fn run(&self, namespace: &str, pod: &Pod, command: &[String], is_told: bool) -> Result<AttachedProcess, kube::Error> {
        let first = pod.spec.as_ref().and_then(|spec| spec.containers.first()).map(|container| container.name.clone());
        self.run_in(first, namespace, pod, command, is_told).await
    }

    /// The same in a container that is named.
    async fn run_in(
        &self,
        container: Option<String>,
        namespace: &str,
        pod: &Pod,
        command: &[String],
        is_told: bool,
    ) -> Result<AttachedProcess, kube::Error> {
        let client = self.listener().await.map_err(|error| kube::Error::Service(error.to_string().into()))?;
        let parameters = AttachParams {
            container,
            stdin: is_told,
            stdout: true,
            stderr: !is_told,
            tty: false,
            max_stdin_buf_size: Some(PIPE),
            max_stdout_buf_size: Some(PIPE),
            max_stderr_buf_size: Some(PIPE),
        };
        Api::<Pod>::namespaced(client, namespace).exec(name(pod), command, &parameters).await
    }

    /// Both ends of a second program of a service of ours, beside the one that runs.
    pub async fn converse(&self, service: &str) -> Result<Streams, EnvironmentError> {
        let (namespace, pod) = self.our_pod(service).await?;
        let mut process = self.run(namespace, &pod, &[service.to_owned()], true).await?;
        let (Some(input), Some(output)) = (process.stdin(), process.stdout()) else {
            return Err(EnvironmentError::Command {
                command: format!("kubectl exec {service}"),
                output: "it has no streams".to_owned(),
                owner: Owner::Engine,
            });
        };
        Ok(Streams { input: Box::pin(input), output: Box::pin(ReaderStream::new(output)), guard: Box::new(process) })
    }

    /// What a service of ours says from its first byte on, without an end while it runs.
    pub async fn follow(&self, service: &str) -> Result<Output, EnvironmentError> {
        let (namespace, pod) = self.our_pod(service).await?;
        let pods = Api::<Pod>::namespaced(self.listener().await?, namespace);
        let said = pods.log_stream(name(&pod), &LogParams { follow: true, ..LogParams::default() }).await?;
        Ok(Box::pin(ReaderStream::new(said.compat())))
    }

    /// Everything that a service said, its last lines at most.
    pub async fn logs(&self, service: &str) -> Result<Vec<u8>, EnvironmentError> {
        let (namespace, pod) = self.our_pod(service).await?;
        let parameters = LogParams { tail_lines: Some(LOG_LINES), ..LogParams::default() };
        Ok(self.pods(namespace).await?.logs(name(&pod), &parameters).await?.into_bytes())
    }

    /// Where a service of ours is reached without asking for its name.
    pub async fn address(&self, service: &str) -> Result<Option<String>, EnvironmentError> {
        let (_, pod) = self.our_pod(service).await?;
        Ok(addresses(&pod).pop())
    }

    /// Every change of a pod of ours or of the submission's from now on, as far as two looks show it.
    pub fn transitions(&self) -> impl Stream<Item = Result<Transition, EnvironmentError>> + Send + 'static {
        let state = (self.clone(), None::<BTreeMap<String, Seen>>, VecDeque::new());
        unfold(state, async |(kind, mut known, mut changes)| {
            loop {
                if let Some(change) = changes.pop_front() {
                    return Some((Ok(change), (kind, known, changes)));
                }
                let Ok(now) = kind.seen().await else {
                    // A look that is lost is made up for by the next.
                    match kind.ping().await {
                        Ok(()) => continue,
                        Err(error) => return Some((Err(error), (kind, known, changes))),
                    }
                };
                if let Some(before) = known.replace(now) {
                    changes.extend(changed(&before, known.as_ref().unwrap_or(&before)));
                }
                if changes.is_empty() {
                    sleep(SEE).await;
                }
            }
        })
    }

    async fn seen(&self) -> Result<BTreeMap<String, Seen>, EnvironmentError> {
        let mut all = BTreeMap::new();
        for namespace in [PLATFORM, &self.namespace] {
            let workloads = self.told(namespace).await?;
            for pod in &workloads.pods {
                let deployment = workloads.deployment_of(pod);
                let called = if namespace == PLATFORM { deployment.and_then(|one| one.metadata.name.clone()) } else { None };
                let seen = Seen {
                    service: called.unwrap_or_else(|| name(pod).to_owned()),
                    role: deployment.and_then(role),
                    started: containers(pod).filter(|one| is_started(one)).count(),
                    restarts: restarts(pod),
                    last: containers(pod).filter_map(|one| one.last_state.as_ref()?.terminated.clone()).map(|end| (end.exit_code, end.reason)).last(),
                };
                all.insert(pod.metadata.uid.clone().unwrap_or_default(), seen);
            }
        }
        Ok(all)
    }

    /// Applies what was submitted; what the cluster refuses of it is said.
    pub async fn start_each(&self, _: &[String], limit: Duration) -> Result<Vec<String>, EnvironmentError> {
        self.applied(&self.submitted, limit).await
    }

    async fn applied(&self, objects: &[Value], limit: Duration) -> Result<Vec<String>, EnvironmentError> {
        match timeout(limit, self.apply(objects, Owner::Candidate)).await {
            Ok(Ok(())) => Ok(Vec::new()),
            Ok(Err(error)) if error.owner() == Owner::Candidate => {
                self.ping().await?;
                Ok(vec![error.to_string()])
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(vec![format!("not everything was applied within {} s", limit.as_secs())]),
        }
    }

    /// Creates everything of a submission anew, as it was when that was [remembered](Kind::remember), else as it was submitted.
    pub async fn recreate(&self, services: &[String], limit: Duration) -> Result<Vec<String>, EnvironmentError> {
        self.halt(services).await?;
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_other = |object: &&Value| remembered.is_empty() || !matches!(object["kind"].as_str(), Some("ConfigMap" | "Deployment"));
        let objects: Vec<Value> = self.submitted.iter().filter(is_other).chain(&remembered).cloned().collect();
        self.applied(&objects, limit).await
    }

    /// Remembers the submission's Deployments and `ConfigMap`s as they are.
    pub async fn remember(&self) -> Result<(), EnvironmentError> {
        let (client, all) = (self.client().await?, ListParams::default());
        let deployments = Api::<Deployment>::namespaced(client.clone(), &self.namespace).list(&all).await?;
        let config_maps = Api::<ConfigMap>::namespaced(client, &self.namespace).list(&all).await?;
        let own = config_maps.items.iter().filter(|one| one.metadata.name.as_deref() != Some(CLUSTERS_OWN)).filter_map(plain);
        *self.remembered.lock().unwrap_or_else(PoisonError::into_inner) = own.chain(deployments.items.iter().filter_map(plain)).collect();
        Ok(())
    }

    /// Ends every pod of a submission at once, with what would make it anew.
    pub async fn halt(&self, _: &[String]) -> Result<(), EnvironmentError> {
        let client = self.client().await?;
        let (all, now) = (ListParams::default(), DeleteParams::background().grace_period(0));
        let deployments = Api::<Deployment>::namespaced(client.clone(), &self.namespace).delete_collection(&now, &all).await;
        drop(self.refusable(deployments).await?);
        // What would make pods anew while it waits to be collected.
        let sets = Api::<ReplicaSet>::namespaced(client.clone(), &self.namespace).delete_collection(&now, &all).await;
        drop(self.refusable(sets).await?);
        let jobs = Api::<Job>::namespaced(client.clone(), &self.namespace).delete_collection(&now, &all).await;
        drop(self.refusable(jobs).await?);
        let pods = Api::<Pod>::namespaced(client, &self.namespace).delete_collection(&now, &all).await;
        drop(self.refusable(pods).await?);
        let deadline = Instant::now() + FOLLOWS;
        while !self.workloads(&self.namespace).await?.pods.is_empty() && Instant::now() < deadline {
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Ends the pods of services, which are made anew.
    pub async fn restart(&self, services: &[String], grace_seconds: i32) -> Result<Vec<String>, EnvironmentError> {
        let grace = DeleteParams::default().grace_period(u32::try_from(grace_seconds).unwrap_or(0));
        let pods = self.pods(&self.namespace).await?;
        let theirs = |one: &Deployment| one.metadata.name.as_ref().is_some_and(|name| services.contains(name));
        let mut complaints = Vec::new();
        for pod in self.workloads(&self.namespace).await?.pods_of(theirs) {
            let deleted = pods.delete(name(&pod), &grace).await.map(drop);
            complaints.extend(self.refusable(deleted).await?.err());
        }
        Ok(complaints)
    }

    /// Restarts the submission's node, as a power cut does, and waits until the cluster's own pods run on it again: how long a machine takes to
    /// boot says nothing of what runs there.
    pub async fn reboot(&self) -> Result<Vec<String>, EnvironmentError> {
        let began = Timestamp::now();
        let options = RestartContainerOptionsBuilder::new().t(0).build();
        self.engine.api.restart_container(&self.node(WORKER).await?, Some(options)).await?;
        let lacks = until(Instant::now() + BOOTS, async || self.without_its_own(began).await).await;
        if lacks.is_some() {
            self.ping().await?;
        }
        Ok(lacks.into_iter().collect())
    }

    /// What keeps the submission's node from being back, if anything does: pods of the cluster's own that have not started since.
    async fn without_its_own(&self, began: Timestamp) -> Result<Option<String>, EnvironmentError> {
        let here = ListParams::default().fields(&format!("spec.nodeName={}", self.worker()));
        let pods = self.pods(SYSTEM).await?.list(&here).await?.items;
        let is_new = |one: &ContainerStatus| {
            let running = one.state.as_ref().and_then(|state| state.running.as_ref());
            running.and_then(|running| running.started_at.as_ref()).is_some_and(|started| started.0 > began)
        };
        let mut containers = pods.iter().flat_map(containers).peekable();
        let are_back = containers.peek().is_some() && containers.all(is_new);
        Ok((!are_back).then(|| format!("the worker's own pods do not run again after {} s", BOOTS.as_secs())))
    }

    /// The name of the submission's node.
    fn worker(&self) -> String {
        format!("{}-{WORKER}", self.name)
    }

    /// Every pod of the submission that is not on its way out.
    pub async fn running(&self, _: &[String]) -> Result<Vec<Running>, EnvironmentError> {
        let workloads = self.workloads(&self.namespace).await?;
        let described = |pod: &Pod| Running {
            name: name(pod).to_owned(),
            role: workloads.deployment_of(pod).and_then(role),
            memory_mib: Some(memory_mib(pod)),
            addresses: addresses(pod),
        };
        Ok(workloads.pods.iter().filter(|pod| is_alive(pod)).map(described).collect())
    }

    /// The pods of a role that are not on their way out.
    pub async fn replicas(&self, wanted: &str, _: &[String]) -> Result<Vec<Replica>, EnvironmentError> {
        let pods = self.told(&self.namespace).await?.pods_of(|one| role(one).as_deref() == Some(wanted));
        let described = |pod: Pod| Some(Replica { host: addresses(&pod).pop()?, name: name(&pod).to_owned(), restarts: restarts(&pod) });
        Ok(pods.into_iter().filter_map(described).collect())
    }

    /// Waits until all Deployments of the submission are there, or until one of them cannot come.
    pub async fn wait_quiet(&self, limit: Duration) -> Result<Wait<Vec<Service>>, EnvironmentError> {
        self.wait_settled(&self.namespace, Owner::Candidate, limit).await
    }

    /// Disturbs a pod. One that is killed goes without a word, and no other finds room on the submission's node before it is mended.
    pub async fn disturb(&self, disturbance: &Disturbance) -> Result<(), EnvironmentError> {
        let replica = &disturbance.target;
        match disturbance.fault {
            Fault::Kill => {
                self.cordon(true).await?;
                // The processes first: a pod that is deleted is told before.
                self.crash(replica, "").await?;
                let deleted = self.pods(&self.namespace).await?.delete(replica, &DeleteParams::default().grace_period(0)).await;
                drop(self.refusable(deleted.map(drop)).await?);
            }
            Fault::Pause => {
                // One that died by itself a moment before answers nobody either.
                if self.task("pause", replica).await.is_err() {
                    self.ping().await?;
                }
            }
        }
        Ok(())
    }

    /// Ends a disturbance.
    pub async fn mend(&self, disturbance: &Disturbance) -> Result<Result<(), String>, EnvironmentError> {
        match disturbance.fault {
            Fault::Kill => self.cordon(false).await?,
            // One that was ended meanwhile hangs no more.
            Fault::Pause => drop(self.task("resume", &disturbance.target).await),
        }
        Ok(Ok(()))
    }

    /// Whether new pods find room on the submission's node.
    async fn cordon(&self, is_closed: bool) -> Result<(), EnvironmentError> {
        let patch = Patch::Merge(json!({ "spec": { "unschedulable": is_closed } }));
        Api::<Node>::all(self.client().await?).patch(&self.worker(), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// The ids of a pod's containers that run, as its node knows them. A fault hits all of them: who answers may be any.
    async fn containers_of(&self, pod: &str) -> Result<Vec<String>, EnvironmentError> {
        let found = self.pods(&self.namespace).await?.get_opt(pod).await?;
        let running = found.iter().flat_map(containers).filter(|one| one.state.as_ref().is_some_and(|state| state.running.is_some()));
        Ok(running.filter_map(|one| Some(one.container_id.as_ref()?.split_once("://")?.1.to_owned())).collect())
    }

    /// Does something to the processes of a pod's containers, from its node.
    async fn task(&self, verb: &str, pod: &str) -> Result<(), EnvironmentError> {
        for container in self.containers_of(pod).await? {
            self.on_node(&self.node(WORKER).await?, &["ctr", "--namespace", "k8s.io", "tasks", verb, &container]).await?;
        }
        Ok(())
    }

    /// Kills the processes of a pod's containers from its node, as a crash does: what follows is the kubelet's, by the pod's restart policy.
    pub async fn crash(&self, replica: &str, _: &str) -> Result<bool, EnvironmentError> {
        let containers = self.containers_of(replica).await?;
        for container in &containers {
            self.on_node(&self.node(WORKER).await?, &["sh", "-c", KILL, container]).await?;
        }
        Ok(!containers.is_empty())
    }

    /// Writes a small file into a folder of a service of the submission.
    pub async fn put(&self, service: &str, folder: &str, file: &str, content: &[u8]) -> Result<Result<(), String>, EnvironmentError> {
        let text = String::from_utf8_lossy(content).into_owned();
        let command = ["sh", "-c", r#"printf %s "$1" > "$0""#, &format!("{folder}/{file}"), &text].map(str::to_owned);
        Ok(match self.exec(service, &command, FOLLOWS).await? {
            Ok(Some((0, _))) => Ok(()),
            Ok(Some((_, said))) | Err(said) => Err(said),
            Ok(None) => Err("it did not end".to_owned()),
        })
    }

    /// Runs a command in a service of a submission and says how it ended, with the end of its output. `None` for a command that was not over in time, or said
    /// more than 4 MiB: its pod is ended, so that nothing of it goes on. `Err` with the cluster's words where it could not be run at all.
    pub async fn exec(&self, service: &str, command: &[String], limit: Duration) -> Result<Result<Option<(i64, String)>, String>, EnvironmentError> {
        let Some((namespace, pod)) = self.pod_of(service).await? else { return Ok(Err(format!("`{service}` has no pod that runs"))) };
        let mut process = match self.refusable(self.run(namespace, &pod, command, false).await).await? {
            Ok(process) => process,
            Err(why) => return Ok(Err(why)),
        };
        let status = process.take_status();
        let (mut said, mut most) = (Vec::new(), OUTPUT_MOST);
        let ran = async {
            let mut pieces = pieces(&mut process);
            while let Some(Ok(piece)) = pieces.next().await {
                most = most.saturating_sub(piece.len());
                said.extend_from_slice(&piece);
                let excess = said.len().saturating_sub(OUTPUT_LIMIT);
                said.drain(..excess);
                if most == 0 {
                    return None;
                }
            }
            match status {
                Some(status) => status.await,
                None => None,
            }
        };
        let ended = timeout(limit, ran).await;
        if ended.is_err() || most == 0 {
            drop(process);
            self.break_off(namespace, &pod, service).await?;
            return Ok(Ok(None));
        }
        // A pod that died under its command takes the exit code with it.
        let code = ended.ok().flatten().map_or(137, |status| exit_code(&status));
        Ok(Ok(Some((code, String::from_utf8_lossy(&said).into_owned()))))
    }

    /// Ends a pod under a command that is not over, and waits for its successor.
    async fn break_off(&self, namespace: &str, pod: &Pod, service: &str) -> Result<(), EnvironmentError> {
        let deleted = self.pods(namespace).await?.delete(name(pod), &DeleteParams::default().grace_period(0)).await;
        drop(self.refusable(deleted.map(drop)).await?);
        let deadline = Instant::now() + FOLLOWS;
        while Instant::now() < deadline {
            if self.pod_of(service).await?.is_some_and(|(_, other)| other.metadata.uid != pod.metadata.uid && is_ready(&other)) {
                break;
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Runs a command in a service of ours and returns all that it writes to stdout, up to a limit in bytes; `Err` says why there is nothing.
    pub async fn read(&self, service: &str, command: &[&str], limit: usize) -> Result<Result<Vec<u8>, Unread>, EnvironmentError> {
        let (namespace, pod) = self.our_pod(service).await?;
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let mut process = match self.refusable(self.run(namespace, &pod, &command, false).await).await? {
            Ok(process) => process,
            Err(why) => return Ok(Err(Unread::Failed(why))),
        };
        let status = process.take_status();
        let (Some(out), Some(err)) = (process.stdout(), process.stderr()) else { return Ok(Err(Unread::Failed("it has no streams".to_owned()))) };
        let (mut content, mut complaint) = (Vec::new(), Vec::new());
        let mut pieces = select(ReaderStream::new(out).map(|piece| (true, piece)), ReaderStream::new(err).map(|piece| (false, piece)));
        while let Some((is_content, piece)) = pieces.next().await {
            let piece = piece.map_err(|error| kube::Error::Service(error.into()))?;
            if is_content {
                content.extend_from_slice(&piece);
            } else {
                complaint.extend_from_slice(&piece[..piece.len().min(OUTPUT_LIMIT)]);
            }
            if content.len() > limit {
                return Ok(Err(Unread::TooMuch(limit >> 20)));
            }
        }
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        Ok(match status.as_ref().map(exit_code) {
            Some(0) => Ok(content),
            Some(_) => Err(Unread::Failed(crate::engine::tail(&complaint))),
            None => Err(Unread::Failed("it did not end".to_owned())),
        })
    }

    /// Whether a service of ours was ended because it used more memory than its limit.
    pub async fn ran_out_of_memory(&self, service: &str) -> Result<bool, EnvironmentError> {
        let (_, pod) = self.our_pod(service).await?;
        let ends = |one: &ContainerStatus| [one.state.clone(), one.last_state.clone()].into_iter().flatten().filter_map(|state| state.terminated);
        let ran_out = containers(&pod).flat_map(ends).any(|end| end.reason.as_deref() == Some("OOMKilled"));
        Ok(ran_out)
    }

    /// What the submission's node used of the machine's processors since the last look.
    pub async fn spent(&self, usage: &mut Usage, _: &[String]) -> Result<Spent, EnvironmentError> {
        let is = |labels: &HashMap<String, String>, label: &str, value: &str| labels.get(label).is_some_and(|one| one == value);
        let is_ours = |labels: &HashMap<String, String>| is(labels, CLUSTER_LABEL, &self.name) || is(labels, "modeldown.lease", &self.lease);
        usage.look(&self.engine, is_ours, |labels| is(labels, NODE_LABEL, WORKER)).await
    }

    /// The engine's disk, where this machine can see it.
    pub async fn disk(&self) -> Result<Option<Disk>, EnvironmentError> {
        Disk::of(&self.engine).await
    }

    /// Kubernetes itself ends a pod that writes more than its limit, and its quota bounds them all: nobody need count.
    #[allow(clippy::unused_async, reason = "it is asked of every environment")]
    pub async fn written(&self, _: &[String]) -> Result<BTreeMap<String, u64>, EnvironmentError> {
        Ok(BTreeMap::new())
    }

    /// Ends a service for good.
    pub async fn end(&self, service: &str) -> Result<(), EnvironmentError> {
        let ended = self.deployments().await?.delete(service, &DeleteParams::background().grace_period(0)).await;
        self.refusable(ended.map(drop)).await.map(drop)
    }

    /// Deletes a pod, which has the time that it asks for.
    pub async fn delete(&self, pod: &str) -> Result<(), EnvironmentError> {
        let deleted = self.pods(&self.namespace).await?.delete(pod, &DeleteParams::default()).await;
        self.refusable(deleted.map(drop)).await.map(drop)
    }

    /// Asks for a pod's eviction.
    pub async fn evict(&self, pod: &str) -> Result<Eviction, EnvironmentError> {
        // Whoever asks again and again is granted it as soon as another pod is there.
        let evicted = Api::<Pod>::namespaced(self.listener().await?, &self.namespace).evict(pod, &EvictParams::default()).await;
        let is_refused = matches!(&evicted, Err(kube::Error::Api(status)) if status.code == TOO_MANY);
        Ok(match self.refusable(evicted.map(drop)).await? {
            Ok(()) => Eviction::Granted,
            Err(why) if is_refused => Eviction::Refused(why),
            Err(why) => Eviction::Impossible(why),
        })
    }

    /// The Deployments of a role that have replicas.
    pub async fn deployments_of(&self, wanted: &str) -> Result<Vec<String>, EnvironmentError> {
        let all = self.workloads(&self.namespace).await?.deployments;
        let has_replicas = |one: &&Deployment| one.spec.as_ref().and_then(|spec| spec.replicas) != Some(0);
        let of_role = all.iter().filter(has_replicas).filter(|one| role(one).as_deref() == Some(wanted));
        Ok(of_role.filter_map(|one| one.metadata.name.clone()).collect())
    }

    /// Lets every pod of a Deployment be replaced, as `kubectl rollout restart` does, and waits until it is over.
    pub async fn roll(&self, deployment: &str, limit: Duration) -> Result<Wait<()>, EnvironmentError> {
        let is_it = |one: &Deployment| one.metadata.name.as_deref() == Some(deployment);
        let uid = |pod: &Pod| pod.metadata.uid.clone();
        let before: BTreeSet<_> = self.workloads(&self.namespace).await?.pods_of(is_it).iter().map(uid).collect();
        let now = jiff::Timestamp::now().to_string();
        let patch = json!({ "spec": { "template": { "metadata": { "annotations": { (RESTARTED): now } } } } });
        let patched = self.deployments().await?.patch(deployment, &PatchParams::default(), &Patch::Merge(patch)).await;
        if let Err(why) = self.refusable(patched.map(drop)).await? {
            return Ok(Wait::Impossible { why, owner: Owner::Candidate });
        }
        let deadline = Instant::now() + limit;
        loop {
            let all = self.workloads(&self.namespace).await?;
            let is_over = Instant::now() > deadline;
            // What becomes of others is no part of it.
            let pods = all.pods_of(is_it);
            let left = pods.iter().filter(|pod| before.contains(&uid(pod))).count();
            let deployments = all.deployments.into_iter().filter(is_it).collect();
            let last_seen = match (Workloads { deployments, replica_sets: all.replica_sets, pods }).settled(Owner::Candidate) {
                Wait::Impossible { why, owner } if is_over => return Ok(Wait::Impossible { why, owner }),
                // Kubernetes goes on after what it calls a failure, and so may the rollout.
                Wait::Impossible { why, .. } => why,
                Wait::Met(_) if left == 0 => return Ok(Wait::Met(())),
                Wait::Met(_) => format!("{left} pods were not replaced"),
                Wait::Pending { last_seen } => last_seen,
            };
            if is_over {
                return Ok(Wait::Pending { last_seen });
            }
            sleep(LOOK).await;
        }
    }

    /// Gives a Deployment an image that is not there, until [`Kind::unmisrelease`]; `Err` with the cluster's words where it refuses.
    pub async fn misrelease(&self, deployment: &str) -> Result<Result<Misreleased, String>, EnvironmentError> {
        let deployments = self.deployments().await?;
        let found = match self.refusable(deployments.get(deployment).await).await? {
            Ok(found) => found,
            Err(why) => return Ok(Err(why)),
        };
        let container = found.spec.and_then(|spec| spec.template.spec?.containers.into_iter().next());
        let Some(container) = container else { return Ok(Err(format!("`{deployment}` has no container"))) };
        let image = container.image.unwrap_or_default();
        let alias = image.rsplit_once(':').map_or(image.as_str(), |(alias, _)| alias);
        let misreleased = Misreleased { deployment: deployment.to_owned(), container: container.name, image: image.clone() };
        let patched = self.set_image(&misreleased, &format!("{alias}:{NOWHERE}")).await?;
        Ok(patched.map(|()| misreleased))
    }

    /// Gives a Deployment back its image.
    pub async fn unmisrelease(&self, misreleased: &Misreleased) -> Result<Result<(), String>, EnvironmentError> {
        self.set_image(misreleased, &misreleased.image).await
    }

    async fn set_image(&self, of: &Misreleased, image: &str) -> Result<Result<(), String>, EnvironmentError> {
        let patch = json!({ "spec": { "template": { "spec": { "containers": [{ "name": of.container, "image": image }] } } } });
        let patched = self.deployments().await?.patch(&of.deployment, &PatchParams::default(), &Patch::Strategic(patch)).await;
        self.refusable(patched.map(drop)).await
    }

    /// What Kubernetes says of a rollout that does not progress, if it says that.
    pub async fn stalled(&self, deployment: &str) -> Result<Option<String>, EnvironmentError> {
        let found = self.deployments().await?.get_opt(deployment).await?;
        Ok(found.as_ref().and_then(super::workload::late))
    }

    /// Lets a process in each of a pod's containers ask for more and more memory; nothing where none could be begun.
    pub async fn exhaust(&self, pod: &str) -> Result<Option<Exhausting>, EnvironmentError> {
        let Some(found) = self.pods(&self.namespace).await?.get_opt(pod).await? else { return Ok(None) };
        let mut begun = Vec::new();
        for container in found.spec.iter().flat_map(|spec| &spec.containers) {
            let process = self.run_in(Some(container.name.clone()), &self.namespace, &found, &EXHAUST.map(str::to_owned), false).await;
            begun.extend(self.refusable(process).await?.ok());
        }
        Ok((!begun.is_empty()).then_some(Exhausting(begun)))
    }
}

/// Processes that ask for more and more memory.
pub struct Exhausting(Vec<AttachedProcess>);

impl Exhausting {
    /// Whether all of them were ended within a while.
    pub async fn is_ended(self, within: Duration) -> bool {
        let ended = self.0.into_iter().filter_map(|mut one| one.take_status());
        timeout(within, join_all(ended)).await.is_ok()
    }
}

/// An object as somebody would write it: without what the cluster adds.
fn plain(object: &impl Serialize) -> Option<Value> {
    let mut value = serde_json::to_value(object).ok()?;
    value.as_object_mut()?.remove("status");
    let metadata = value["metadata"].as_object_mut()?;
    metadata.retain(|key, _| matches!(key.as_str(), "annotations" | "labels" | "name" | "namespace"));
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(REVISION);
    }
    Some(value)
}

/// What is known of a pod at a look.
struct Seen {
    service: String,
    role: Option<String>,
    started: usize,
    restarts: i32,
    /// How one of its containers ended last.
    last: Option<(i32, Option<String>)>,
}

/// What changed between two looks, in Docker's words.
fn changed(before: &BTreeMap<String, Seen>, now: &BTreeMap<String, Seen>) -> Vec<Transition> {
    let mut changes = Vec::new();
    let mut change = |seen: &Seen, action: &str, exit_code: Option<i64>| {
        changes.push(Transition { service: seen.service.clone(), role: seen.role.clone(), action: action.to_owned(), exit_code });
    };
    for (uid, seen) in now {
        let (started, restarts) = before.get(uid).map_or((0, 0), |before| (before.started, before.restarts));
        if seen.restarts > restarts {
            if let Some((_, Some(reason))) = &seen.last
                && reason == "OOMKilled"
            {
                change(seen, "oom", None);
            }
            change(seen, "die", seen.last.as_ref().map(|(code, _)| i64::from(*code)));
        }
        if seen.started > started || (seen.restarts > restarts && seen.started > 0) {
            change(seen, "start", None);
        }
    }
    for (_, gone) in before.iter().filter(|(uid, _)| !now.contains_key(*uid)) {
        change(gone, "die", None);
    }
    changes
}

/// Everything that a process says, whichever way.
fn pieces(process: &mut AttachedProcess) -> impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin + use<> {
    let out = process.stdout().map(ReaderStream::new);
    let err = process.stderr().map(ReaderStream::new);
    select(futures_util::stream::iter(out).flatten(), futures_util::stream::iter(err).flatten())
}

/// How a command ended, by what the cluster says of it.
fn exit_code(status: &Status) -> i64 {
    if status.status.as_deref() == Some("Success") {
        return 0;
    }
    let causes = status.details.as_ref().and_then(|details| details.causes.as_ref());
    let code = causes.into_iter().flatten().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    code.and_then(|cause| cause.message.as_ref()?.parse().ok()).unwrap_or(137)
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// The role that a Deployment says that it has.
fn role(deployment: &Deployment) -> Option<String> {
    deployment.metadata.labels.as_ref()?.get(ROLE_LABEL).cloned()
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten())
}

/// How often its containers were started again.
fn restarts(pod: &Pod) -> i32 {
    containers(pod).map(|one| one.restart_count).sum()
}

fn is_started(container: &ContainerStatus) -> bool {
    container.state.as_ref().is_some_and(|state| state.running.is_some())
}

/// Whether a pod is there to stay.
pub(super) fn is_alive(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    is_alive(pod) && conditions.into_iter().any(|one| one.type_ == "Ready" && one.status == "True")
}

fn addresses(pod: &Pod) -> Vec<String> {
    pod.status.iter().filter_map(|status| status.pod_ip.clone()).collect()
}

/// The memory limits of a pod's containers together, in MiB; those that run beside it and are called initial are among them.
fn memory_mib(pod: &Pod) -> u64 {
    let beside = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten()).filter(|one| one.restart_policy.as_deref() == Some("Always"));
    let all = pod.spec.iter().flat_map(|spec| &spec.containers).chain(beside);
    let limits = all.filter_map(|one| one.resources.as_ref()?.limits.as_ref()?.get("memory"));
    limits.map(|limit| bytes(&limit.0) >> 20).fold(0, u64::saturating_add)
}

/// A quantity of bytes as Kubernetes writes it, such as `160Mi`, `1.5Gi` or `805e6`; what cannot be read is more than anyone may have.
fn bytes(quantity: &str) -> u64 {
    const UNITS: [(&str, u64); 12] = [
        ("", 1),
        ("k", 1_000),
        ("Ki", 1 << 10),
        ("M", 1_000_000),
        ("Mi", 1 << 20),
        ("G", 1_000_000_000),
        ("Gi", 1 << 30),
        ("T", 1_000_000_000_000),
        ("Ti", 1 << 40),
        ("P", 1_000_000_000_000_000),
        ("Pi", 1 << 50),
        ("E", 1_000_000_000_000_000_000),
    ];
    // Thousandths of a byte are how the cluster writes what is no whole number of bytes.
    let (quantity, parts) = quantity.strip_suffix('m').map_or((quantity, 1.0), |whole| (whole, 1_000.0));
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a limit of memory; what is too much saturates"
    )]
    let whole = |(number, unit): (f64, u64)| (number * unit as f64 / parts) as u64;
    size::read(quantity, &UNITS).map_or(u64::MAX, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(started: usize, restarts: i32, last: Option<(i32, &str)>) -> BTreeMap<String, Seen> {
        let last = last.map(|(code, reason)| (code, Some(reason.to_owned())));
        [("uid".to_owned(), Seen { service: "model-1".to_owned(), role: Some("model".to_owned()), started, restarts, last })].into()
    }

    #[test]
    fn what_becomes_of_a_pod_is_told_in_dockers_words() {
        let said = |before: &BTreeMap<String, Seen>, now: &BTreeMap<String, Seen>| {
            changed(before, now).into_iter().map(|change| (change.action, change.exit_code)).collect::<Vec<_>>()
        };
        let (none, one) = (BTreeMap::new(), seen(1, 0, None));
        assert_eq!(said(&none, &one), [("start".to_owned(), None)]);
        assert_eq!(said(&one, &one), []);
        assert_eq!(said(&one, &none), [("die".to_owned(), None)]);
        let again = seen(1, 1, Some((137, "OOMKilled")));
        assert_eq!(said(&one, &again), [("oom".to_owned(), None), ("die".to_owned(), Some(137)), ("start".to_owned(), None)]);
        assert_eq!(said(&one, &seen(0, 1, Some((1, "Error")))), [("die".to_owned(), Some(1))]);
    }

    #[test]
    fn what_is_remembered_is_what_somebody_would_write() {
        let found = json!({
            "metadata": { "name": "model", "uid": "1", "resourceVersion": "5", "annotations": { REVISION: "3", "a": "b" }, "managedFields": [] },
            "spec": { "selector": {}, "template": {} },
            "status": { "replicas": 2 },
        });
        let found: Deployment = serde_json::from_value(found).expect("it is one");
        let plain = plain(&found).expect("it is an object");
        assert_eq!((&plain["apiVersion"], &plain["kind"]), (&json!("apps/v1"), &json!("Deployment")));
        assert_eq!(plain["metadata"], json!({ "name": "model", "annotations": { "a": "b" } }));
        assert!(plain.get("status").is_none() && plain.get("spec").is_some(), "{plain}");
    }

    #[test]
    fn quantities_are_read() {
        assert_eq!(["160Mi", "1Gi", "100M", "5", "1Ti"].map(bytes), [160 << 20, 1 << 30, 100_000_000, 5, 1 << 40]);
        assert_eq!(
            ["805e6", "1.5Ki", "805306368000m", "1E", "1e3k"].map(bytes),
            [805_000_000, 1_536, 805_306_368, 1_000_000_000_000_000_000, 1_000_000]
        );
        assert_eq!(["", "a lot", "1Xi", "-1Mi"].map(bytes), [u64::MAX, u64::MAX, u64::MAX, 0]);
    }

    #[test]
    fn what_runs_beside_a_pod_from_its_start_is_counted() {
        let with = |memory: &str, policy: &str| json!({ "name": "a", "image": "a", "restartPolicy": policy, "resources": { "limits": { "memory": memory } } });
        let mut container = with("64Mi", "");
        container.as_object_mut().expect("it is one").remove("restartPolicy");
        let mut once = container.clone();
        once["resources"]["limits"]["memory"] = "512Mi".into();
        let pod = json!({ "spec": { "containers": [container], "initContainers": [with("32Mi", "Always"), once] } });
        assert_eq!(memory_mib(&serde_json::from_value::<Pod>(pod).expect("it is one")), 96);
    }

    #[test]
    fn an_exit_code_is_read_from_what_the_cluster_says() {
        let status = |value: serde_json::Value| serde_json::from_value::<Status>(value).expect("it is one");
        assert_eq!(exit_code(&status(json!({ "status": "Success" }))), 0);
        let failed = json!({ "status": "Failure", "reason": "NonZeroExitCode", "details": { "causes": [{ "reason": "ExitCode", "message": "3" }] } });
        assert_eq!(exit_code(&status(failed)), 3);
        assert_eq!(exit_code(&status(json!({ "status": "Failure", "reason": "InternalError" }))), 137);
    }
}
