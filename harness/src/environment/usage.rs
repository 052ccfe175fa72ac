//! How much of the machine's processors services use, by the engine's own count, and how much is used by nobody of the environment, process
//! by process by the kernel's: nobody can add to another's.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use bollard::query_parameters::{ListContainersOptionsBuilder, StatsOptionsBuilder};
use futures_util::StreamExt;
use futures_util::future::join_all;

use super::docker::EnvironmentError;
use crate::engine::Engine;

/// Programs that work for every container, and those that tell them to: what they use may be a submission's doing.
const ENGINE: [&str; 10] =
    ["dockerd", "containerd", "containerd-shim", "runc", "docker-proxy", "docker-init", "docker-compose", "docker-buildx", "kubectl", "kind"];
/// The kernel counts processor time in hundredths of a second, whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);
/// The flag of a process that is the kernel's own (`PF_KTHREAD`): it works for containers too.
const OF_THE_KERNEL: u64 = 0x0020_0000;

/// Counts processor time from look to look.
#[derive(Debug, Clone)]
pub struct Usage {
    /// What each container had used at the last look.
    counted: HashMap<String, u64>,
    /// What the machine had used, and what each process.
    machine: Option<(Machine, HashMap<Id, u64>)>,
    looked: Instant,
}

/// Processor time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// What the services used.
    pub used: Duration,
    /// What there was, of all processors together.
    pub of: Duration,
    /// What became of the whole machine's; nothing where this program does not run on the engine's machine.
    pub machine: Option<Whole>,
}

/// Processor time of a whole machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whole {
    /// What it used.
    pub busy: Duration,
    /// What of that programs did that are neither of the environment nor of the engine.
    pub others: Duration,
    /// The name of the one among these that used the most, as the kernel has it; nothing where none used any.
    pub most: Option<String>,
    /// What other machines on the same hardware took instead.
    pub stolen: Duration,
}

impl Default for Usage {
    fn default() -> Self {
        Self { counted: HashMap::new(), machine: None, looked: Instant::now() }
    }
}

impl Usage {
    /// What containers that are asked for used since the last look, and what became of the machine; by their labels they are ours, and asked for.
    pub(super) async fn look(
        &mut self,
        engine: &Engine,
        is_ours: impl Fn(&HashMap<String, String>) -> bool,
        is_asked: impl Fn(&HashMap<String, String>) -> bool,
    ) -> Result<Spent, EnvironmentError> {
        // Before the engine is asked which containers there are: one of the environment's that is new must not pass for somebody else's.
        let now = Instant::now();
        let (machine, processes) = (Machine::read(), processes());
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let (mut ours, mut theirs) = (HashMap::new(), HashSet::new());
        for container in engine.api.list_containers(Some(options)).await? {
            let (Some(id), labels) = (container.id, container.labels.unwrap_or_default()) else { continue };
            if is_ours(&labels) {
                ours.insert(id, is_asked(&labels));
            } else {
                theirs.insert(id);
            }
        }
        let asked = ours.into_iter().map(|(id, is_one)| async move {
            let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
            let mut stats = Box::pin(engine.api.stats(&id, Some(options)));
            // One that is gone or on its way uses nothing.
            let cpu = stats.next().await?.ok()?.cpu_stats?;
            Some((id, is_one, cpu.cpu_usage?.total_usage?, cpu.online_cpus))
        });
        let (mut used, mut processors) = (0, 1);
        let known = std::mem::take(&mut self.counted);
        for (id, is_one, total, online) in join_all(asked).await.into_iter().flatten() {
            processors = processors.max(online.unwrap_or(1));
            let before = known.get(&id).copied().unwrap_or(0);
            self.counted.insert(id, total);
            // A container that was started again counts from 0.
            used += if is_one { total.checked_sub(before).unwrap_or(total) } else { 0 };
        }
        // A node's pods are containers in a container that the engine knows; one that it does not know yet is nobody's.
        let is_of_others = |one: &&Process| !one.is_neutral && (one.containers.is_empty() || one.containers.iter().any(|id| theirs.contains(id)));
        let machine = machine.filter(|machine| machine.processors == processors);
        let spent = self.machine.take().zip(machine).map(|((before, known), now)| {
            // One that was not seen the last time and began before that has escaped that look: what it has used since nobody knows.
            let newest = known.keys().map(|(_, began)| *began).max().unwrap_or(u64::MAX);
            let since = |one: &Process| match known.get(&one.id) {
                Some(before) => one.ticks.saturating_sub(*before),
                None if one.id.1 >= newest => one.ticks,
                None => 0,
            };
            let others = || processes.iter().filter(is_of_others).map(|one| (since(one), &one.name)).filter(|(ticks, _)| *ticks > 0);
            Whole {
                busy: now.busy.saturating_sub(before.busy),
                others: ticks(others().map(|(ticks, _)| ticks).sum()),
                most: others().max().map(|(_, name)| name.clone()),
                stolen: now.stolen.saturating_sub(before.stolen),
            }
        });
        self.machine = machine.map(|machine| (machine, processes.into_iter().map(|one| (one.id, one.ticks)).collect()));
        let of = now.duration_since(std::mem::replace(&mut self.looked, now)) * processors;
        Ok(Spent { used: Duration::from_nanos(used), of, machine: spent })
    }
}

fn ticks(ticks: u64) -> Duration {
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// What a machine's processors did since it was started.
#[derive(Debug, Clone, Copy)]
struct Machine {
    processors: u32,
    /// Everything but waiting.
    busy: Duration,
    /// What other machines on the same hardware took.
    stolen: Duration,
}

impl Machine {
    fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        let mut lines = stat.lines();
        let times: Vec<u64> = lines.next()?.split_whitespace().skip(1).map_while(|word| word.parse().ok()).collect();
        let [user, nice, system, _idle, _waiting, irq, softirq, ref rest @ ..] = times[..] else { return None };
        let processors = u32::try_from(lines.take_while(|line| line.starts_with("cpu")).count()).ok()?;
        Some(Self { processors, busy: ticks(user + nice + system + irq + softirq), stolen: ticks(rest.first().copied().unwrap_or(0)) })
    }
}

/// A process, by its number and when it began.
type Id = (u64, u64);

/// A process as it is now.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    id: Id,
    /// What it is called: the first fifteen letters of its program's name, unless it said otherwise.
    name: String,
    /// Whether it is the kernel's, an engine's or this program: a submission may be what keeps it busy.
    is_neutral: bool,
    /// The containers that it is in, one in the other.
    containers: Vec<String>,
    /// What it has used itself. What its children used is left out: a container that ends leaves all that it ever used to whoever waits for it.
    ticks: u64,
}

/// Every process that there is.
fn processes() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let read = |folder: &Path| {
        let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
        Process::parse(&stat, &std::fs::read_to_string(folder.join("cgroup")).ok()?)
    };
    entries.filter_map(|entry| read(&entry.path())).collect()
}

impl Process {
    /// A process by its files `stat` (`proc_pid_stat(5)`) and `cgroup`.
    fn parse(stat: &str, groups: &str) -> Option<Self> {
        let (number, rest) = stat.split_once('(')?;
        let (name, rest) = rest.rsplit_once(')')?;
        // The kernel cuts names to fifteen letters, and `runc:[2:INIT]` is one of them.
        let name = name.split(':').next().unwrap_or_default();
        let is_engine = !name.is_empty() && ENGINE.iter().any(|program| program.starts_with(name));
        let words: Vec<u64> = rest.split_whitespace().skip(1).map(|word| word.parse().unwrap_or(0)).collect();
        let id: Id = (number.trim().parse().ok()?, *words.get(18)?);
        let is_neutral = is_engine || words.get(5)? & OF_THE_KERNEL != 0 || id.0 == u64::from(std::process::id());
        Some(Self { id, name: name.to_owned(), is_neutral, containers: containers(groups), ticks: words.get(10)? + words.get(11)? })
    }
}

/// The containers that a process is in, by the names of its control groups: every one of sixty-four hexadecimal digits.
fn containers(groups: &str) -> Vec<String> {
    let is_id = |part: &&str| part.len() == 64 && part.chars().all(|digit| digit.is_ascii_hexdigit());
    let mut found: Vec<String> = groups.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(is_id).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_not_work_and_the_engine_and_the_kernel_are_not_others() {
        let stat = "cpu  100 20 30 1000 50 1 2 9 0 0\ncpu0 50 10 15 500 25 0 1 4 0 0\ncpu1 50 10 15 500 25 1 1 5 0 0\nintr 1\n";
        let machine = Machine::parse(stat).expect("it is one");
        assert_eq!((machine.processors, machine.busy, machine.stolen), (2, TICK * 153, TICK * 9));
        assert!(Machine::parse("").is_none());
        let process = |name: &str, flags: u64| {
            let stat = format!("7 ({name}) S 1 7 7 0 -1 {flags} 1 2 3 4 50 6 700 8 20 0 1 0 99 1 2");
            Process::parse(&stat, "0::/").expect("it is one")
        };
        let shell = process("sh", 4_194_560);
        assert_eq!((shell.id, &*shell.name, shell.ticks, shell.is_neutral), ((7, 99), "sh", 56, false));
        let neutral = |name: &str, flags: u64| process(name, flags).is_neutral;
        assert!(["containerd-shim", "runc:[2:INIT]", "docker"].iter().all(|name| neutral(name, 0)) && neutral("kworker/0:1", OF_THE_KERNEL));
        let this = format!("{} (grader) S 1 7 7 0 -1 0 1 2 3 4 50 6 700 8 20 0 1 0 99 1 2", std::process::id());
        assert!(Process::parse(&this, "0::/").is_some_and(|this| this.is_neutral));
        assert!(!neutral("a) (b", 0) && !neutral("", 0) && Process::parse("7 (sh)", "").is_none());
    }

    #[test]
    fn a_process_knows_its_containers() {
        let (id, pod) = ("0123456789abcdef".repeat(4), "fedcba9876543210".repeat(4));
        for groups in [format!("0::/system.slice/docker-{id}.scope\n"), format!("12:pids:/docker/{id}\n1:cpu:/docker/{id}\n0::/\n")] {
            assert_eq!(containers(&groups), std::slice::from_ref(&id));
        }
        assert_eq!(containers(&format!("0::/docker/{id}/kubelet/kubepods/pod1/{pod}\n")), [id, pod]);
        assert!(containers("0::/user.slice/session-3.scope\n").is_empty());
    }
}
