//! How far the workloads of a namespace are, from what the Kubernetes API says of them: there, not yet, or never, which is seen long before
//! a time-out would tell. Pure.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::docker::{Service, Wait};
use super::pods::is_alive;
use crate::compose::ROLE_LABEL;
use crate::exit::Owner;

/// Why a container waits that died again and again.
const CRASHES: &str = "CrashLoopBackOff";
/// Why containers wait that will not start as long as nobody changes anything, and whose words say more.
const STUCK: [&str; 8] = [
    CRASHES,
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];
/// Which of its templates a Deployment is at, and a `ReplicaSet` is of.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// The words of a scheduler that waits for a node to come up.
const NOT_YET: &str = "node.kubernetes.io/not-ready";

/// What a namespace has.
#[derive(Debug, Clone, Default)]
pub(super) struct Workloads {
    pub(super) deployments: Vec<Deployment>,
    pub(super) replica_sets: Vec<ReplicaSet>,
    pub(super) pods: Vec<Pod>,
}

impl Workloads {
    /// Whether every Deployment has all its replicas, of its newest template and available; `owner` is whose workloads these are.
    pub(super) fn settled(&self, owner: Owner) -> Wait<Vec<Service>> {
        // Before its controller has looked at it, what is there is of an older template.
        if let Some(unseen) = self.deployments.iter().find(|one| !is_observed(one)) {
            return Wait::Pending { last_seen: format!("`{}`: {UNSEEN}", name(unseen)) };
        }
        // What is ours and dies may wait for something else of ours.
        let is_patient = owner == Owner::Engine;
        let stuck = |pod: &Pod| stuck(pod).filter(|why| !is_patient || !why.contains(CRASHES));
        let never = self.pods.iter().filter(|pod| self.is_current(pod)).find_map(stuck).or_else(|| self.deployments.iter().find_map(overdue));
        if let Some(why) = never {
            return Wait::Impossible { why, owner };
        }
        match self.deployments.iter().find_map(|one| Some((one, progress(one).err()?))) {
            Some((one, lacks)) => Wait::Pending { last_seen: format!("`{}`: {lacks}", name(one)) },
            None => Wait::Met(self.services()),
        }
    }

    /// Whether a pod is of the newest template of its Deployment, or of none.
    fn is_current(&self, pod: &Pod) -> bool {
        let Some((set, deployment)) = self.owners(pod) else { return true };
        revision(&deployment.metadata) == revision(&set.metadata)
    }

    fn owners(&self, pod: &Pod) -> Option<(&ReplicaSet, &Deployment)> {
        let (owned_by, of) = (owner(&pod.metadata)?, |metadata: &ObjectMeta| metadata.name.clone());
        let set = self.replica_sets.iter().find(|set| of(&set.metadata).as_deref() == Some(owned_by))?;
        let deployment = self.deployments.iter().find(|one| of(&one.metadata).as_deref() == owner(&set.metadata))?;
        Some((set, deployment))
    }

    /// The Deployment that a pod is of, if it is of one.
    pub(super) fn deployment_of(&self, pod: &Pod) -> Option<&Deployment> {
        self.owners(pod).map(|(_, deployment)| deployment)
    }

    /// The pods of some Deployments that are not on their way out.
    pub(super) fn pods_of(&self, is_asked: impl Fn(&Deployment) -> bool) -> Vec<Pod> {
        let is_one = |pod: &&Pod| is_alive(pod) && self.deployment_of(pod).is_some_and(&is_asked);
        self.pods.iter().filter(is_one).cloned().collect()
    }

    /// The Deployments, as people are told of them.
    pub(super) fn services(&self) -> Vec<Service> {
        let described = |one: &Deployment| Service {
            role: one.metadata.labels.as_ref().and_then(|labels| labels.get(ROLE_LABEL)).cloned(),
            ..Service::unknown(&name(one), progress(one).map_or_else(|pending| pending, |()| "running".to_owned()))
        };
        self.deployments.iter().map(described).collect()
    }
}

/// What is said of a Deployment that its controller has not looked at.
const UNSEEN: &str = "not looked at yet";

fn owner(metadata: &ObjectMeta) -> Option<&str> {
    metadata.owner_references.as_ref()?.iter().find(|one| one.controller == Some(true)).map(|one| one.name.as_str())
}

fn revision(metadata: &ObjectMeta) -> Option<&String> {
    metadata.annotations.as_ref()?.get(REVISION)
}

fn is_observed(deployment: &Deployment) -> bool {
    deployment.status.as_ref().is_some_and(|status| status.observed_generation >= deployment.metadata.generation)
}

fn name(deployment: &Deployment) -> String {
    deployment.metadata.name.clone().unwrap_or_default()
}

/// What a Deployment still lacks.
fn progress(deployment: &Deployment) -> Result<(), String> {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let Some(status) = deployment.status.as_ref().filter(|_| is_observed(deployment)) else { return Err(UNSEEN.to_owned()) };
    let (all, updated, available) = (status.replicas.unwrap_or(0), status.updated_replicas.unwrap_or(0), status.available_replicas.unwrap_or(0));
    match (updated < wanted, all > updated, available < wanted) {
        (true, ..) => Err(format!("{updated} of {wanted} replicas are of the newest template")),
        (_, true, _) => Err(format!("{} replicas of an older template are still there", all - updated)),
        (.., true) => Err(format!("{available} of {wanted} replicas are available")),
        _ => Ok(()),
    }
}

/// Why a Deployment will not get its pods, if so.
fn overdue(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    // A quota, a limit or Pod Security may refuse pods; an account that is applied a moment later is there the next time.
    let refused = conditions.iter().find(|one| one.type_ == "ReplicaFailure" && one.status == "True").and_then(|one| one.message.as_deref());
    if let Some(message) = refused.filter(|message| !message.contains("serviceaccount")) {
        return Some(format!("`{}`: its pods are refused: {message}", name(deployment)));
    }
    late(deployment)
}

/// What is said of a rollout whose progress deadline is over, if it is.
pub(super) fn late(deployment: &Deployment) -> Option<String> {
    // Before its controller has looked at it, what is said is of an older template.
    let conditions = deployment.status.as_ref().filter(|_| is_observed(deployment))?.conditions.as_ref()?;
    let is_late = |reason: Option<&str>| reason == Some("ProgressDeadlineExceeded");
    let late = conditions.iter().find(|one| one.type_ == "Progressing" && one.status == "False" && is_late(one.reason.as_deref()))?;
    Some(format!("`{}`: {}", name(deployment), late.message.as_deref().unwrap_or("its progress deadline is over")))
}

/// Why a pod will not come up by itself, if so.
fn stuck(pod: &Pod) -> Option<String> {
    // One that is on its way out is nobody's hope.
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.as_ref()?;
    let unscheduled = status.conditions.iter().flatten().find(|one| one.type_ == "PodScheduled" && one.reason.as_deref() == Some("Unschedulable"));
    if let Some(message) = unscheduled.and_then(|one| one.message.as_deref()).filter(|message| !message.contains(NOT_YET)) {
        return Some(format!("`{name}` fits on no node: {message}"));
    }
    let containers = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    containers.into_iter().find_map(waits_in_vain).map(|why| format!("`{name}`: {why}"))
}

fn waits_in_vain(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| STUCK.contains(reason))?;
    let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let last =
        ended.map(|ended| format!(", the last time with exit code {} ({})", ended.exit_code, ended.reason.as_deref().unwrap_or("no reason given")));
    let said = waiting.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
    Some(format!("{reason}{}{said}", last.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(status: &Value) -> Deployment {
        let text =
            json!({ "metadata": { "name": "model", "generation": 2 }, "spec": { "replicas": 2, "selector": {}, "template": {} }, "status": status });
        serde_json::from_value(text).expect("it is one")
    }

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "model-1" }, "status": status })).expect("it is one")
    }

    fn settled(deployments: Vec<Deployment>, pods: Vec<Pod>) -> Wait<Vec<Service>> {
        Workloads { deployments, pods, replica_sets: Vec::new() }.settled(Owner::Candidate)
    }

    #[test]
    fn a_rollout_is_over_when_all_replicas_are_new_and_available() {
        for (status, last_seen) in [
            (json!({ "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 }), "not looked at yet"),
            (
                json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2 }),
                "1 of 2 replicas are of the newest template",
            ),
            (
                json!({ "observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3 }),
                "1 replicas of an older template are still there",
            ),
            (json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2 }), "0 of 2 replicas are available"),
        ] {
            assert_eq!(settled(vec![deployment(&status)], Vec::new()), Wait::Pending { last_seen: format!("`model`: {last_seen}") });
        }
        let done = json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 });
        let Wait::Met(services) = settled(vec![deployment(&done)], Vec::new()) else { panic!("it is done") };
        assert!(services.len() == 1 && services[0].is_well());
    }

    #[test]
    fn what_is_left_of_an_older_template_keeps_nobody_from_the_newest() {
        let revised = |mut value: Value, revision: &str| {
            value["metadata"]["annotations"] = json!({ REVISION: revision });
            value
        };
        let owned = |mut value: Value, owner: &str| {
            value["metadata"]["ownerReferences"] = json!([{ "apiVersion": "apps/v1", "kind": "x", "name": owner, "uid": "u", "controller": true }]);
            value
        };
        let set = |name: &str, revision: &str| -> ReplicaSet {
            let set = json!({ "metadata": { "name": name }, "spec": { "selector": {} } });
            serde_json::from_value(owned(revised(set, revision), "model")).expect("it is one")
        };
        let status = json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 1 });
        let newest = serde_json::to_value(deployment(&status)).expect("it is JSON");
        let newest: Deployment = serde_json::from_value(revised(newest, "2")).expect("it is one");
        let stuck = json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "too large" }] });
        let stuck =
            |owner: &str| -> Pod { serde_json::from_value(owned(serde_json::to_value(pod(&stuck)).expect("it is JSON"), owner)).expect("it is one") };
        let with = |pod: Pod| {
            let replica_sets = vec![set("model-old", "1"), set("model-new", "2")];
            Workloads { deployments: vec![newest.clone()], replica_sets, pods: vec![pod] }.settled(Owner::Candidate)
        };
        assert!(matches!(with(stuck("model-old")), Wait::Pending { .. }));
        assert!(matches!(with(stuck("model-new")), Wait::Impossible { .. }));
    }

    #[test]
    fn what_will_never_come_is_not_waited_for() {
        let waiting = |reason: &str| {
            json!({ "containerStatuses": [{ "name": "a", "image": "x", "imageID": "", "ready": false, "restartCount": 1,
            "state": { "waiting": { "reason": reason, "message": "words" } }, "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } } }] })
        };
        let unscheduled =
            |message: &str| json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message }] });
        for (status, words) in [
            (waiting("ImagePullBackOff"), "`model-1`: ImagePullBackOff"),
            (waiting("CrashLoopBackOff"), "exit code 137 (OOMKilled): words"),
            (unscheduled("0/1 nodes are available: 1 Insufficient memory."), "fits on no node: 0/1 nodes are available: 1 Insufficient memory."),
        ] {
            let Wait::Impossible { why, owner } = settled(Vec::new(), vec![pod(&status)]) else { panic!("it will never come: {words}") };
            assert!(why.contains(words) && owner == Owner::Candidate, "{words} is not in {why}");
        }
        let late = json!({ "observedGeneration": 2, "conditions": [{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out" }] });
        assert!(matches!(settled(vec![deployment(&late)], Vec::new()), Wait::Impossible { why, .. } if why == "`model`: timed out"));
        let refused = |message: &str| {
            let condition = json!({ "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message });
            settled(vec![deployment(&json!({ "observedGeneration": 2, "conditions": [condition] }))], Vec::new())
        };
        assert!(matches!(refused("exceeded quota"), Wait::Impossible { why, .. } if why.ends_with("its pods are refused: exceeded quota")));
        assert!(matches!(refused("serviceaccount \"a\" not found"), Wait::Pending { .. }));
        // What is ours may wait for something else of ours.
        let ours = Workloads { pods: vec![pod(&waiting("CrashLoopBackOff"))], ..Workloads::default() };
        assert_eq!(ours.settled(Owner::Engine), Wait::Met(Vec::new()));
        // What waits for a node, or for its image, may come.
        for status in [waiting("ContainerCreating"), unscheduled("1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }")] {
            assert_eq!(settled(Vec::new(), vec![pod(&status)]), Wait::Met(Vec::new()));
        }
    }
}
