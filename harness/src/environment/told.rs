//! What a cluster tells of its workloads, kept as it changes: who looks again and again must keep neither its API busy nor the machine.

use std::fmt::Debug;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::{Lookup, Store, reflector, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::docker::EnvironmentError;
use super::kind::ANSWER;
use super::workload::Workloads;
use crate::exit::Owner;

/// What one namespace has.
struct Kept {
    namespace: String,
    deployments: Store<Deployment>,
    replica_sets: Store<ReplicaSet>,
    pods: Store<Pod>,
}

/// What some namespaces have. The watches end with it.
pub(super) struct Told {
    kept: Vec<Kept>,
    watches: Watches,
}

/// The watches, and of each whether it has failed and not begun anew.
#[derive(Default)]
struct Watches {
    tasks: JoinSet<()>,
    broken: Vec<Arc<AtomicBool>>,
}

impl Told {
    /// Watches namespaces, and waits until each is known.
    pub(super) async fn of(client: &Client, namespaces: &[&str]) -> Result<Self, EnvironmentError> {
        let mut watches = Watches::default();
        let mut kept = Vec::new();
        for namespace in namespaces {
            let one = Kept {
                namespace: (*namespace).to_owned(),
                deployments: watches.keep(Api::namespaced(client.clone(), namespace)),
                replica_sets: watches.keep(Api::namespaced(client.clone(), namespace)),
                pods: watches.keep(Api::namespaced(client.clone(), namespace)),
            };
            let known = async {
                one.deployments.wait_until_ready().await.is_ok()
                    && one.replica_sets.wait_until_ready().await.is_ok()
                    && one.pods.wait_until_ready().await.is_ok()
            };
            if !timeout(ANSWER, known).await.unwrap_or(false) {
                let output = format!("nothing was told of the namespace `{namespace}` within {} s", ANSWER.as_secs());
                return Err(EnvironmentError::Command { command: "kubectl get --watch".to_owned(), output, owner: Owner::Engine });
            }
            kept.push(one);
        }
        Ok(Self { kept, watches })
    }

    /// What a namespace has now, as far as it was told: milliseconds ago at most. Nothing where nobody tells: while a watch is broken, and of a
    /// namespace that is not watched.
    pub(super) fn workloads(&self, namespace: &str) -> Option<Workloads> {
        if self.watches.broken.iter().any(|one| one.load(Ordering::Relaxed)) {
            return None;
        }
        let one = self.kept.iter().find(|one| one.namespace == namespace)?;
        Some(Workloads { deployments: every(&one.deployments), replica_sets: every(&one.replica_sets), pods: every(&one.pods) })
    }
}

fn every<K: Clone + Lookup<DynamicType = ()> + 'static>(store: &Store<K>) -> Vec<K> {
    store.state().iter().map(|one| K::clone(one)).collect()
}

impl Watches {
    fn keep<K>(&mut self, api: Api<K>) -> Store<K>
    where
        K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let (known, writer) = store();
        let broken = Arc::new(AtomicBool::new(false));
        self.broken.push(broken.clone());
        let told = reflector(writer, watcher(api, watcher::Config::default())).default_backoff();
        self.tasks.spawn(told.for_each(move |event| {
            // A watch that begins anew lists everything before it goes on.
            match event {
                Err(_) => broken.store(true, Ordering::Relaxed),
                Ok(watcher::Event::InitDone | watcher::Event::Apply(_) | watcher::Event::Delete(_)) => broken.store(false, Ordering::Relaxed),
                Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            }
            ready(())
        }));
        known
    }
}
