//! Memory: where it goes, and what the allocator and the system say.

use tikv_jemalloc_ctl::{epoch, stats};

use super::{Lines, Source, human};
use crate::base::{alloc, sys};
use crate::dispatch::client::ClientType;
use crate::script::Scripts;

/// Figures that INFO and MEMORY show, taken at one time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    pub used: u64,
    pub peak: u64,
    pub startup: u64,
    /// Of `used`: whatever is not keys and values.
    pub overhead: u64,
    /// Tables of all databases.
    pub tables: u64,
    pub clients: u64,
    pub keys: u64,
    pub rss: u64,
    pub allocated: u64,
    pub active: u64,
    pub resident: u64,
}

/// What the system and the allocator say. That takes longer than all the rest of [`Memory`], and any thread may ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outside {
    rss: u64,
    allocated: u64,
    active: u64,
    resident: u64,
}

impl Outside {
    pub fn take() -> Outside {
        // The allocator's figures are those of the last epoch.
        let fresh = epoch::advance().is_ok();
        let figure = |read: tikv_jemalloc_ctl::Result<usize>| {
            read.ok().filter(|_| fresh).unwrap_or(0) as u64
        };
        Outside {
            rss: resident_bytes(),
            allocated: figure(stats::allocated::read()),
            active: figure(stats::active::read()),
            resident: figure(stats::resident::read()),
        }
    }
}

impl Memory {
    pub fn take(source: &Source<'_>) -> Memory {
        let ks = source.ks;
        let outside = source.outside.unwrap_or_else(Outside::take);
        let used = source.used;
        let clients: u64 = source
            .clients()
            .filter(|c| c.client_type() != ClientType::Replica)
            .map(|c| c.memory())
            .sum();
        let tables: u64 = ks.dbs.iter().map(|db| db.table.memory() as u64).sum();
        Memory {
            used,
            peak: alloc::peak_memory(),
            startup: source.core.startup_memory,
            overhead: source.core.startup_memory + clients + tables,
            tables,
            clients,
            keys: ks.len() as u64,
            rss: outside.rss,
            allocated: outside.allocated,
            active: outside.active,
            resident: outside.resident,
        }
    }

    /// Keys and values.
    pub fn dataset(&self) -> u64 {
        self.used.saturating_sub(self.overhead)
    }

    /// The share of the data set in what was used since the start.
    pub fn dataset_percent(&self) -> f64 {
        percent(self.dataset(), self.used.saturating_sub(self.startup))
    }

    /// Bytes of pages with allocations, and of the allocations.
    pub fn fragmentation(&self) -> (u64, u64) {
        (self.active, self.allocated)
    }

    pub fn peak_percent(&self) -> f64 {
        percent(self.used, self.peak)
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}

pub fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

pub fn difference(a: u64, b: u64) -> i64 {
    a as i64 - b as i64
}

/// Resident pages of this process; 0 if the system does not tell.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    pages * sys::page_size()
}

pub fn write(lines: &mut Lines<'_>, source: &Source<'_>) {
    let memory = Memory::take(source);
    let config = &source.core.config;
    lines.bytes("used_memory", memory.used);
    lines.bytes("used_memory_rss", memory.rss);
    lines.bytes("used_memory_peak", memory.peak);
    lines.field(
        "used_memory_peak_perc",
        format_args!("{:.2}%", memory.peak_percent()),
    );
    lines.field("used_memory_overhead", memory.overhead);
    lines.field("used_memory_startup", memory.startup);
    lines.field("used_memory_dataset", memory.dataset());
    lines.field(
        "used_memory_dataset_perc",
        format_args!("{:.2}%", memory.dataset_percent()),
    );
    lines.field("allocator_allocated", memory.allocated);
    lines.field("allocator_active", memory.active);
    lines.field("allocator_resident", memory.resident);
    lines.field("allocator_muzzy", 0);
    lines.bytes("total_system_memory", sys::total_memory());
    scripts(lines, &source.core.scripts);
    lines.field("maxmemory", config.maxmemory);
    lines.field("maxmemory_human", human(config.maxmemory));
    lines.field("maxmemory_policy", config.maxmemory_policy.name());
    ratios(lines, &memory);
    let buffers = source.core.repl.buffer_memory();
    let beyond = source.core.slow_replicas_memory();
    lines.field("mem_not_counted_for_evict", beyond);
    lines.field("mem_replication_backlog", buffers - beyond);
    lines.field("mem_total_replication_buffers", buffers);
    let replicas = source.core.repl.online().next().is_some();
    lines.field("mem_clients_slaves", if replicas { beyond } else { 0 });
    lines.field("mem_clients_normal", memory.clients);
    lines.zeros(&["mem_cluster_links"]);
    lines.field("mem_aof_buffer", source.core.aof.memory());
    lines.field("mem_tls_sessions", alloc::memory_apart(alloc::Kind::Tls));
    lines.field("mem_undo", source.ks.undo.bytes());
    lines.field("mem_allocator", "jemalloc-5.3.0");
    lines.zeros(&[
        "mem_overhead_db_hashtable_rehashing",
        "active_defrag_running",
    ]);
    lines.field("lazyfree_pending_objects", source.ks.reaper.pending());
    lines.field("lazyfreed_objects", source.ks.reaper.freed());
}

fn ratios(lines: &mut Lines<'_>, memory: &Memory) {
    let pairs = [
        ("allocator_frag", memory.active, memory.allocated),
        ("allocator_rss", memory.resident, memory.active),
        ("rss_overhead", memory.rss, memory.resident),
        ("mem_fragmentation", memory.rss, memory.used),
    ];
    for (name, a, b) in pairs {
        lines.field(&format!("{name}_ratio"), format_args!("{:.2}", ratio(a, b)));
        lines.field(&format!("{name}_bytes"), difference(a, b));
    }
}

fn scripts(lines: &mut Lines<'_>, scripts: &Scripts) {
    let (eval, functions) = (
        scripts.eval.memory() as u64,
        scripts.functions.memory() as u64,
    );
    let (cached, libraries) = (
        scripts.cache.memory() as u64,
        scripts.libraries.memory() as u64,
    );
    lines.field("used_memory_lua", eval);
    lines.field("used_memory_vm_eval", eval);
    lines.field("used_memory_lua_human", human(eval));
    lines.field("used_memory_scripts_eval", cached);
    lines.field("number_of_cached_scripts", scripts.cache.len());
    lines.field("number_of_functions", scripts.libraries.functions());
    lines.field("number_of_libraries", scripts.libraries.len());
    lines.field("used_memory_vm_functions", functions);
    lines.field("used_memory_vm_total", eval + functions);
    lines.field("used_memory_vm_total_human", human(eval + functions));
    lines.field("used_memory_functions", libraries);
    lines.field("used_memory_scripts", cached + libraries);
    lines.field("used_memory_scripts_human", human(cached + libraries));
}
