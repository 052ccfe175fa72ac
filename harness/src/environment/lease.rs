//! Leases: who may remove what, written before the first resource exists.
//!
//! An attached lease belongs to a running command, which holds a lock on its file: a free lock means that the command is dead
//! and that everything of the lease can go. A detached lease is a candidate's environment, and stays until `harness stop`.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::compose::Ownership;
use crate::exercise::{EngineKind, Seed};

/// Who holds a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// A running command.
    Attached,
    /// A candidate.
    Detached,
}

/// What a lease's file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// Who holds it.
    pub hold: Hold,
    /// The Compose project.
    pub project: String,
    /// The folder of the environment's files.
    pub folder: PathBuf,
    /// The exercise.
    pub exercise: String,
    /// What its environments run on.
    #[serde(default)]
    pub engine: EngineKind,
    /// When the environment was first started, RFC 3339.
    pub started: String,
    /// When it might first be stopped, RFC 3339: what its labels say, which never change, so that nothing is created anew.
    pub expires: String,
    /// When it may be stopped, RFC 3339: put off by every start.
    pub until: String,
    /// The day of which the candidate's Prometheus has been given what was recorded, `YYYY-MM-DD`.
    #[serde(default)]
    pub past: Option<String>,
}

/// A lease that this process may use.
#[derive(Debug)]
pub struct Lease {
    /// What its file says.
    pub record: Record,
    path: PathBuf,
    /// The folder that goes with the lease, if it has one.
    own_folder: PathBuf,
    /// Locked while the process lives; a candidate's lease needs no lock.
    #[allow(dead_code, reason = "holding it is its use")]
    lock: Option<File>,
}

/// The folder where leases are kept.
#[derive(Debug, Clone)]
pub struct Leases {
    dir: PathBuf,
}

impl Leases {
    /// The leases of this user: below `XDG_STATE_HOME`, else `~/.local/state`.
    pub fn open() -> std::io::Result<Self> {
        let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from).join(".local/state");
        let dir = state.unwrap_or_else(home).join("modeldown");
        Self::in_folder(&dir)
    }

    fn in_folder(dir: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(dir.join("leases"))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// The name under which this installation and user own resources.
    pub fn owner(&self) -> std::io::Result<String> {
        let path = self.dir.join("owner");
        if !path.exists() {
            replace(&path, Seed::fresh().to_string().as_bytes())?;
        }
        Ok(std::fs::read_to_string(path)?.trim().to_owned())
    }

    /// Takes a new lease for this process, for so many hours: of a workspace, or of a folder of its own that goes with the lease.
    pub fn take(&self, exercise: &str, engine: EngineKind, workspace: Option<&Path>, hours: i64) -> std::io::Result<Lease> {
        let id = Seed::fresh().to_string();
        let folder = workspace.map_or_else(|| self.own_folder(&id), Path::to_owned);
        let record = Record {
            project: format!("{exercise}-{}", &id[..id.len().min(8)]),
            id,
            hold: Hold::Attached,
            folder,
            exercise: exercise.to_owned(),
            engine,
            started: jiff::Timestamp::now().to_string(),
            expires: hence(hours),
            until: hence(hours),
            past: None,
        };
        let path = self.path(&record.id);
        let lock = replace(&path, &serde_json::to_vec_pretty(&record)?)?;
        let lease = Lease { own_folder: self.own_folder(&record.id), record, path, lock: Some(lock) };
        if workspace.is_none() {
            std::fs::create_dir_all(&lease.own_folder)?;
        }
        Ok(lease)
    }

    /// Every lease that there is.
    pub fn all(&self) -> std::io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in std::fs::read_dir(self.dir.join("leases"))? {
            let path = entry?.path();
            // Others begin and end their leases meanwhile; a file that is not a lease was not written by us whole.
            if path.extension().is_some_and(|extension| extension == "json")
                && let Ok(content) = std::fs::read(&path)
            {
                records.extend(serde_json::from_slice::<Record>(&content).ok());
            }
        }
        records.sort_by(|a: &Record, b| a.started.cmp(&b.started));
        Ok(records)
    }

    /// The detached lease of a folder.
    pub fn of_folder(&self, folder: &Path) -> std::io::Result<Option<Lease>> {
        let record = self.all()?.into_iter().find(|record| record.hold == Hold::Detached && record.folder == folder);
        Ok(record.map(|record| Lease { path: self.path(&record.id), own_folder: self.own_folder(&record.id), record, lock: None }))
    }

    /// Attached leases whose command is dead.
    pub fn dead(&self) -> std::io::Result<Vec<Lease>> {
        let mut dead = Vec::new();
        for record in self.all()?.into_iter().filter(|record| record.hold == Hold::Attached) {
            let path = self.path(&record.id);
            let Ok(file) = File::open(&path) else { continue };
            match file.try_lock() {
                // What it says now, with the lock: its command may have left it to a candidate, and ended, a moment ago.
                Ok(()) => match serde_json::from_slice::<Record>(&std::fs::read(&path).unwrap_or_default()) {
                    Ok(record) if record.hold == Hold::Attached => {
                        dead.push(Lease { own_folder: self.own_folder(&record.id), record, path, lock: Some(file) });
                    }
                    _ => {}
                },
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(dead)
    }

    fn own_folder(&self, id: &str) -> PathBuf {
        self.dir.join("environments").join(id)
    }

    fn path(&self, id: &str) -> PathBuf {
        self.dir.join("leases").join(format!("{id}.json"))
    }
}

impl Lease {
    /// The labels of everything that is made under the lease.
    pub fn ownership(&self, owner: &str) -> Ownership {
        Ownership { lease: self.record.id.clone(), owner: owner.to_owned(), expires: self.record.expires.clone() }
    }

    /// Leaves the lease to the candidate: it outlives this process.
    pub fn detach(&mut self) -> std::io::Result<()> {
        self.record.hold = Hold::Detached;
        self.lock = Some(replace(&self.path, &serde_json::to_vec_pretty(&self.record)?)?);
        Ok(())
    }

    /// Puts off when the environment may be stopped.
    pub fn renew(&mut self, hours: i64) -> std::io::Result<()> {
        self.record.until = hence(hours);
        self.lock = Some(replace(&self.path, &serde_json::to_vec_pretty(&self.record)?)?);
        Ok(())
    }

    /// Ends the lease, once nothing of it is left.
    pub fn end(self) -> std::io::Result<()> {
        if self.own_folder.exists() {
            std::fs::remove_dir_all(&self.own_folder)?;
        }
        std::fs::remove_file(&self.path)
    }
}

/// So many hours from now.
fn hence(hours: i64) -> String {
    let now = jiff::Timestamp::now();
    now.checked_add(jiff::Span::new().hours(hours)).unwrap_or(now).to_string()
}

/// Writes a file that nobody ever sees half-written or unlocked.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<File> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, content)?;
    file.as_file().lock()?;
    file.persist(path).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lease_whose_command_is_dead_may_be_swept() {
        let dir = tempfile::tempdir().expect("a folder");
        let leases = Leases::in_folder(dir.path()).expect("it is writable");
        let mut live = leases.take("model-down", EngineKind::Docker, Some(Path::new("/a")), 1).expect("it is writable");
        assert!(leases.dead().expect("readable").is_empty());
        let folder = leases.take("model-down", EngineKind::Docker, None, 1).expect("it is writable").record.folder.clone();
        assert!(folder.is_dir());
        let dead = leases.dead().expect("readable");
        assert_eq!(dead.iter().map(|lease| &lease.record.folder).collect::<Vec<_>>(), [&folder]);
        drop(dead);
        live.detach().expect("writable");
        drop(live);
        for lease in leases.dead().expect("readable") {
            lease.end().expect("writable");
        }
        assert!(!folder.exists());
        assert!(leases.of_folder(Path::new("/a")).expect("readable").is_some());
    }
}
