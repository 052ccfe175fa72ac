//! What a cluster tells of its workloads, kept as it changes: who looks again and again must keep neither its API busy nor the machine.

use std::fmt::Debug;
use std::future::ready;

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
    _watches: JoinSet<()>,
}

impl Told {
    /// Watches namespaces, and waits until each is known.
    pub(super) async fn of(client: &Client, namespaces: &[&str]) -> Result<Self, EnvironmentError> {
        let mut watches = JoinSet::new();
        let mut kept = Vec::new();
        for namespace in namespaces {
            let one = Kept {
                namespace: (*namespace).to_owned(),
                deployments: keep(Api::namespaced(client.clone(), namespace), &mut watches),
                replica_sets: keep(Api::namespaced(client.clone(), namespace), &mut watches),
                pods: keep(Api::namespaced(client.clone(), namespace), &mut watches),
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
        Ok(Self { kept, _watches: watches })
    }

    /// What a namespace has now, as far as it was told: milliseconds ago at most while the cluster is well. Nothing of one that is not watched.
    pub(super) fn workloads(&self, namespace: &str) -> Workloads {
        let found = self.kept.iter().find(|one| one.namespace == namespace);
        found.map_or_else(Workloads::default, |one| Workloads {
            deployments: every(&one.deployments),
            replica_sets: every(&one.replica_sets),
            pods: every(&one.pods),
        })
    }
}

fn every<K: Clone + Lookup<DynamicType = ()> + 'static>(store: &Store<K>) -> Vec<K> {
    store.state().iter().map(|one| K::clone(one)).collect()
}

fn keep<K>(api: Api<K>, watches: &mut JoinSet<()>) -> Store<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (known, writer) = store();
    watches.spawn(reflector(writer, watcher(api, watcher::Config::default())).default_backoff().for_each(|_| ready(())));
    known
}
