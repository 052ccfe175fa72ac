//! What was submitted, as the exam sees it: services by role, and the addresses that the contract gives them.

use ::platform::protocol::Request;
use harness::compose::ServiceRole;
use harness::exercise::{Exercise, Role};
use harness::vetted::Vetted;

/// The most of an answer to a user that is read, in bytes: a hundred times what one has. Fifty a second must not fill whatever passes
/// them on.
const ANSWER: usize = 16 * 1024;

/// The services of a submission.
#[derive(Debug, Clone)]
pub(super) struct Submitted {
    pub(super) services: Vec<ServiceRole>,
}

impl Submitted {
    pub(super) fn new(vetted: &Vetted, exercise: &Exercise) -> Self {
        Self { services: vetted.services(&exercise.manifest) }
    }

    /// Every service.
    pub(super) fn names(&self) -> Vec<String> {
        self.services.iter().map(|service| service.service.clone()).collect()
    }

    /// The services of a role.
    pub(super) fn of_role(&self, role: &str) -> Vec<String> {
        self.services.iter().filter(|service| service.role.as_deref() == Some(role)).map(|service| service.service.clone()).collect()
    }

    /// The name under which others find a role.
    pub(super) fn host_of(&self, role: &str) -> Option<&str> {
        self.services.iter().find(|service| service.role.as_deref() == Some(role)).map(|service| service.host.as_str())
    }

    /// The folder of the submission that a role's program reads as its configuration.
    pub(super) fn folder_of(&self, role: &str) -> Option<&str> {
        self.services.iter().find(|service| service.role.as_deref() == Some(role))?.config.as_deref()
    }

    /// The request that users send; the driver puts a row into its body.
    pub(super) fn inference(&self, exercise: &Exercise, timeout_ms: u64) -> Request {
        let inference = &exercise.contract.inference;
        let url = address(exercise, &inference.role, self.host_of(&inference.role).unwrap_or(&inference.role), &inference.path);
        Request { method: "POST".to_owned(), url, headers: Vec::new(), body: None, timeout_ms, body_limit: ANSWER }
    }

    /// Where a replica says whether it is ready.
    pub(super) fn ready_at(exercise: &Exercise, replica: &str) -> String {
        address(exercise, &exercise.contract.ready.role, replica, &exercise.contract.ready.path)
    }
}

fn address(exercise: &Exercise, role: &str, host: &str, path: &str) -> String {
    let port = exercise.manifest.roles.get(role).map_or(80, Role::port);
    format!("http://{host}:{port}{path}")
}
