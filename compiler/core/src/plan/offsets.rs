//! Offsets: the best of several greedy orders, then a bounded search over orders.
//!
//! The greedy step is that of "Efficient Memory Management for Deep Neural Net Inference" (Pisarchyk and Lee, 2020):
//! buffers in some order, each at a gap between those already placed that live at the same time.

/// A buffer: bytes and inclusive lifetime.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffer {
    pub size: u64,
    pub begin: u32,
    pub end: u32,
}

/// Sum of live bytes at every time.
pub(super) fn loads(buffers: &[Buffer], times: usize) -> Vec<u64> {
    let mut change = vec![0i128; times + 1];
    for b in buffers {
        change[b.begin as usize] += b.size as i128;
        change[b.end as usize + 1] -= b.size as i128;
    }
    let mut load = 0i128;
    change[..times]
        .iter()
        .map(|c| {
            load += c;
            load as u64
        })
        .collect()
}

/// For every buffer, those that live at the same time.
fn conflicts(buffers: &[Buffer]) -> Vec<Vec<u32>> {
    let mut by_begin: Vec<u32> = (0..buffers.len() as u32).collect();
    by_begin.sort_by_key(|&i| buffers[i as usize].begin);
    let mut lists = vec![Vec::new(); buffers.len()];
    let mut live: Vec<u32> = Vec::new();
    for i in by_begin {
        let b = buffers[i as usize];
        live.retain(|&j| buffers[j as usize].end >= b.begin);
        for &j in &live {
            lists[i as usize].push(j);
            lists[j as usize].push(i);
        }
        live.push(i);
    }
    lists
}

const UNPLACED: u64 = u64::MAX;

/// State of the greedy placement, reused between orders.
struct Placer<'a> {
    buffers: &'a [Buffer],
    conflicts: &'a [Vec<u32>],
    taken: Vec<(u64, u64)>,
    offsets: Vec<u64>,
}

impl Placer<'_> {
    /// Places buffers in this order; gives the total, or `None` once it is above `limit`.
    fn run(&mut self, order: &[u32], tight: bool, limit: u64) -> Option<u64> {
        self.offsets.fill(UNPLACED);
        let mut total = 0;
        for &i in order {
            let i = i as usize;
            let size = self.buffers[i].size;
            self.taken.clear();
            for &j in &self.conflicts[i] {
                let at = self.offsets[j as usize];
                if at != UNPLACED {
                    self.taken.push((at, at + self.buffers[j as usize].size));
                }
            }
            self.taken.sort_unstable();
            let mut end = 0;
            let mut best: Option<(u64, u64)> = None;
            for &(from, to) in &self.taken {
                if from > end
                    && from - end >= size
                    && best.is_none_or(|(gap, _)| tight && from - end < gap)
                {
                    best = Some((from - end, end));
                }
                end = end.max(to);
            }
            let at = best.map_or(end, |(_, at)| at);
            self.offsets[i] = at;
            total = total.max(at + size);
            if total > limit {
                return None;
            }
        }
        Some(total)
    }
}

/// Work of the search in conflict visits, so that large graphs stay fast.
const SEARCH_WORK: usize = 30_000_000;

/// Offsets of the buffers; `loads` are those of [`loads`].
pub(super) fn assign(buffers: &[Buffer], loads: &[u64]) -> Vec<u64> {
    let conflicts = conflicts(buffers);
    let bound = loads.iter().copied().max().unwrap_or(0);
    let mut placer = Placer {
        buffers,
        conflicts: &conflicts,
        taken: Vec::new(),
        offsets: vec![UNPLACED; buffers.len()],
    };
    let peak = |b: &Buffer| {
        loads[b.begin as usize..=b.end as usize]
            .iter()
            .copied()
            .max()
            .unwrap_or(0)
    };
    let peaks: Vec<u64> = buffers.iter().map(peak).collect();
    let duration = |b: &Buffer| (b.end - b.begin + 1) as u64;
    let key = |rule: usize, i: u32| -> [u64; 3] {
        let b = &buffers[i as usize];
        let down = |v: u64| u64::MAX - v;
        match rule {
            0 => [down(b.size), down(duration(b)), b.begin as u64],
            1 => [down(peaks[i as usize]), down(b.size), b.begin as u64],
            2 => [
                down(b.size.saturating_mul(duration(b))),
                down(b.size),
                b.begin as u64,
            ],
            3 => [down(duration(b)), down(b.size), b.begin as u64],
            4 => [b.begin as u64, down(b.size), b.end as u64],
            5 => [down(b.end as u64), down(b.size), b.begin as u64],
            _ => [down(peaks[i as usize]), down(duration(b)), down(b.size)],
        }
    };
    let mut best: Option<(u64, Vec<u64>, Vec<u32>, bool)> = None;
    for rule in 0..7 {
        let mut order: Vec<u32> = (0..buffers.len() as u32).collect();
        order.sort_by_key(|&i| (key(rule, i), i));
        for tight in [true, false] {
            let limit = best.as_ref().map_or(u64::MAX, |b| b.0.saturating_sub(1));
            if let Some(total) = placer.run(&order, tight, limit) {
                best = Some((total, placer.offsets.clone(), order.clone(), tight));
            }
        }
    }
    let Some(best) = best else {
        return Vec::new();
    };
    if best.0 <= bound {
        return best.1;
    }
    let visits: usize = conflicts.iter().map(Vec::len).sum::<usize>() + buffers.len();
    anneal(&mut placer, best, bound, visits)
}

/// Rounds of a search that is already near the bound.
const NEAR_ROUNDS: usize = 1500;
/// How near that is: a 64th above the bound.
const NEAR: u64 = 64;

/// Rounds without progress after which the search starts again from the best plan.
const RESTART: usize = 4000;

/// Simulated annealing over orders (Kirkpatrick et al. 1983), bounded by [`SEARCH_WORK`] and seeded by a constant.
///
/// With `tight` false a buffer goes to the lowest gap that holds it. Taking the buffers of any plan by rising offset
/// then gives a plan that is no larger, so some order gives the best plan.
fn anneal(
    placer: &mut Placer<'_>,
    (mut best, mut offsets, mut order, mut tight): (u64, Vec<u64>, Vec<u32>, bool),
    bound: u64,
    visits: usize,
) -> Vec<u64> {
    let rounds = (SEARCH_WORK / visits).max(8);
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut below = |n: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % n
    };
    let mut current = best;
    let mut places = offsets.clone();
    let mut trial = order.clone();
    let mut since = 0;
    for round in 0..rounds {
        if best <= bound || round >= NEAR_ROUNDS && (best - bound) * NEAR <= bound {
            break;
        }
        // Orders by first fit reach every plan; the greedy ones may have liked the tightest gap better.
        if since > RESTART {
            tight = !tight;
            since = 0;
            current = u64::MAX;
            order.sort_by_key(|&i| (offsets[i as usize], i));
        }
        since += 1;
        trial.clone_from(&order);
        let n = trial.len();
        let top = trial
            .iter()
            .rposition(|&i| places[i as usize] + placer.buffers[i as usize].size == current);
        match (top, round % 4) {
            // What reaches the top goes earlier.
            (Some(at), 0 | 1) if at > 0 => {
                let to = if round % 4 == 0 { 0 } else { below(at) };
                let moved = trial.remove(at);
                trial.insert(to, moved);
            }
            (_, 2) => {
                let moved = trial.remove(below(n));
                trial.insert(below(n), moved);
            }
            _ => trial.swap(below(n), below(n)),
        }
        // A slightly larger plan is a way out of a local optimum, less and less so. Few rounds only descend.
        let slack = if rounds < RESTART {
            0
        } else {
            let left = (rounds - round) as f64 / rounds as f64;
            let part = below(1 << 10) as f64 / (1 << (10 + 2 * (round % 3))) as f64;
            (bound as f64 / 16.0 * left * part) as u64
        };
        let limit = current.saturating_add(slack);
        if let Some(total) = placer.run(&trial, tight, limit.min(best + best / 8)) {
            current = total;
            places.clone_from(&placer.offsets);
            std::mem::swap(&mut order, &mut trial);
            if total < best {
                best = total;
                offsets.clone_from(&placer.offsets);
                since = 0;
            }
        }
    }
    offsets
}
