//! How much of the machine's processors services use, by the engine's own count, and how much is used by nobody of the environment, by
//! the kernel's: nobody can add to another's.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::StreamExt;
use futures_util::future::join_all;

use super::docker::{Docker, EnvironmentError};

/// Programs that work for every container: what they use may be a submission's doing.
const ENGINE: [&str; 6] = ["dockerd", "containerd", "containerd-shim", "runc", "docker-proxy", "docker-init"];
/// The kernel counts processor time in hundredths of a second, whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);

/// Counts processor time from look to look.
#[derive(Debug, Clone)]
pub struct Usage {
    /// What each container had used at the last look: in all, and in its own code.
    counted: HashMap<String, (u64, u64)>,
    /// What the machine had used.
    machine: Option<Machine>,
    looked: Instant,
}

/// Processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// What the services used.
    pub used: Duration,
    /// What there was, of all processors together.
    pub of: Duration,
    /// What the machine used in all, and what of it programs did at least that are neither of the environment nor of the engine (0 where
    /// a container of the environment ended meanwhile); nothing where this program does not run on the engine's machine.
    pub machine: Option<(Duration, Duration)>,
}

impl Default for Usage {
    fn default() -> Self {
        Self { counted: HashMap::new(), machine: None, looked: Instant::now() }
    }
}

impl Usage {
    /// What services used since the last look.
    pub async fn look(&mut self, environment: &Docker, services: &[String]) -> Result<Spent, EnvironmentError> {
        // An engine under load takes a second to count, in which all go on working.
        let first = Machine::read();
        let asked = environment.containers(false).await?.into_iter().filter_map(|container| {
            let service = container.labels.as_ref().and_then(|labels| labels.get("com.docker.compose.service"));
            let is_one = service.is_some_and(|service| services.contains(service));
            Some((container.id?, is_one))
        });
        let asked = asked.map(|(id, is_one)| async move {
            let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
            let mut stats = Box::pin(environment.engine.api.stats(&id, Some(options)));
            // One that is gone or on its way uses nothing.
            let cpu = stats.next().await?.ok()?.cpu_stats?;
            let usage = cpu.cpu_usage?;
            Some((id, is_one, usage.total_usage?, usage.usage_in_usermode.unwrap_or(0), cpu.online_cpus))
        });
        let (mut used, mut own_code, mut processors) = (0, 0, 1);
        let mut known = std::mem::take(&mut self.counted);
        let mut ended = false;
        for (id, is_one, total, user, online) in join_all(asked).await.into_iter().flatten() {
            processors = processors.max(online.unwrap_or(1));
            let before = known.remove(&id).unwrap_or((0, 0));
            ended |= total < before.0;
            self.counted.insert(id, (total, user));
            // A container that was started again counts from 0.
            own_code += user.checked_sub(before.1).unwrap_or(user);
            used += if is_one { total.checked_sub(before.0).unwrap_or(total) } else { 0 };
        }
        // What a container used between the last look and its end nobody counted: it must not pass for that of others.
        ended |= !known.is_empty();
        let now = Machine::read().filter(|machine| machine.processors == processors);
        // Until before this count began, from when the last one was over: what others used at least.
        let machine = self.machine.zip(first.zip(now)).map(|(before, (first, now))| {
            let others = first.programs.saturating_sub(before.programs).saturating_sub(Duration::from_nanos(own_code));
            (now.busy.saturating_sub(before.busy), if ended { Duration::ZERO } else { others })
        });
        self.machine = now;
        let of = std::mem::replace(&mut self.looked, Instant::now()).elapsed() * processors;
        Ok(Spent { used: Duration::from_nanos(used), of, machine })
    }
}

/// What a machine's processors did since it was started.
#[derive(Debug, Clone, Copy)]
struct Machine {
    processors: u32,
    /// Everything but waiting.
    busy: Duration,
    /// What programs did in their own code, without the engine's. Work of the kernel is left out: it works for containers too.
    programs: Duration,
}

impl Machine {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let engine: u64 = engine().sum();
        Self::parse(&stat, engine)
    }

    fn parse(stat: &str, engine: u64) -> Option<Self> {
        let mut lines = stat.lines();
        let times: Vec<u64> = lines.next()?.split_whitespace().skip(1).map_while(|word| word.parse().ok()).collect();
        let [user, nice, system, _idle, _waiting, irq, softirq, ..] = times[..] else { return None };
        let processors = u32::try_from(lines.take_while(|line| line.starts_with("cpu")).count()).ok()?;
        let ticks = |ticks: u64| TICK * u32::try_from(ticks).unwrap_or(u32::MAX);
        Some(Self { processors, busy: ticks(user + nice + system + irq + softirq), programs: ticks((user + nice).saturating_sub(engine)) })
    }
}

/// What each program of the engine used in its own code, in the kernel's ticks.
fn engine() -> impl Iterator<Item = u64> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let stats = processes.filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok());
    stats.filter_map(|stat| engine_ticks(&stat))
}

/// The same of one process, by its line in `/proc` (`proc_pid_stat(5)`), with children that ended: a container that is started, or whose health
/// is checked, costs a `runc` that is gone by the next look. What an engine ran in containers is counted with these too, so that it is
/// taken off twice: rather too little passes for others' use than too much.
fn engine_ticks(stat: &str) -> Option<u64> {
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    // The kernel cuts names to fifteen letters, and `runc:[2:INIT]` is one of them.
    let name = name.split(':').next().filter(|name| !name.is_empty())?;
    if !ENGINE.iter().any(|program| program.starts_with(name)) {
        return None;
    }
    let words: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| words.get(index)?.parse::<u64>().ok();
    Some(ticks(11)? + ticks(13)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_not_work_and_the_engine_is_not_others() {
        let stat = "cpu  100 20 30 1000 50 1 2 9 0 0\ncpu0 50 10 15 500 25 0 1 4 0 0\ncpu1 50 10 15 500 25 1 1 5 0 0\nintr 1\n";
        let machine = Machine::parse(stat, 40).expect("it is one");
        assert_eq!((machine.processors, machine.busy, machine.programs), (2, TICK * 153, TICK * 80));
        assert!(Machine::parse("", 0).is_none());
        let process = |name: &str| format!("7 ({name}) S 1 7 7 0 -1 0 1 2 3 4 50 6 700 8 20 0 1 0 99 1 2");
        assert_eq!((engine_ticks(&process("containerd-shim")), engine_ticks(&process("runc:[2:INIT]"))), (Some(750), Some(750)));
        assert_eq!((engine_ticks(&process("sh")), engine_ticks(&process("a) (b")), engine_ticks("7 (runc")), (None, None, None));
    }
}
