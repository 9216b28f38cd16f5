//! Weights as halves, as small integers with scales, as positions in a table.

use super::palette;
use cygnet_format::DType;
use cygnet_kernels::compressed::words;
use cygnet_kernels::gemm::PANEL;
use half::f16;

/// Scales below this lose digits in half precision; those of the smallest groups may.
const LEAST_HALF_SCALE: f32 = 64.0 * 6.2e-5;

/// An operand of a compressed product.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// A compressed matrix.
#[derive(Clone, Debug)]
pub(super) struct Compressed {
    pub bits: u32,
    /// Weights that share a scale; 0 for a whole column.
    pub group: u32,
    /// Codes, scales, offsets, table.
    pub parts: [Option<Part>; 4],
    /// Signal to noise of the weights in decibels; infinite when nothing is lost.
    pub snr_db: f64,
}

impl Compressed {
    /// Bytes of all parts.
    pub fn bytes(&self) -> usize {
        self.parts.iter().flatten().map(|p| p.bytes.len()).sum()
    }
}

/// Signal to noise of `approximate` in decibels.
fn snr(exact: impl Iterator<Item = f32>, approximate: impl Iterator<Item = f32>) -> f64 {
    let (mut signal, mut noise) = (0f64, 0f64);
    for (e, a) in exact.zip(approximate) {
        signal += f64::from(e) * f64::from(e);
        noise += (f64::from(e) - f64::from(a)).powi(2);
    }
    10.0 * (signal / noise).log10()
}

/// Half-precision floats of any shape; `None` when a weight is beyond their range.
pub(super) fn halves(weights: &[f32], shape: &[usize]) -> Option<Compressed> {
    let narrow: Vec<f16> = weights.iter().map(|&w| f16::from_f32(w)).collect();
    if narrow.iter().any(|h| !h.is_finite()) {
        return None;
    }
    let snr_db = snr(weights.iter().copied(), narrow.iter().map(|h| h.to_f32()));
    let part = Part {
        dtype: DType::F16,
        shape: shape.to_vec(),
        bytes: narrow.iter().flat_map(|h| h.to_le_bytes()).collect(),
    };
    Some(Compressed {
        bits: 16,
        group: 0,
        parts: [Some(part), None, None, None],
        snr_db,
    })
}

/// What a group of weights becomes: `q * scale + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fit {
    scale: f32,
    offset: f32,
}

impl Fit {
    fn code(&self, w: f32, low: f32, high: f32) -> f32 {
        if self.scale == 0.0 {
            return 0.0;
        }
        ((w - self.offset) / self.scale)
            .round_ties_even()
            .clamp(low, high)
    }

    fn error(&self, weights: &[f32], low: f32, high: f32) -> f32 {
        let error = |&w: &f32| {
            let e = self.code(w, low, high) * self.scale + self.offset - w;
            e * e
        };
        weights.iter().map(error).sum()
    }
}

/// Rounds factors to what is stored of them.
fn stored(v: f32, half: bool) -> f32 {
    if half { f16::from_f32(v).to_f32() } else { v }
}

/// The best of several fits.
struct Search<'a> {
    weights: &'a [f32],
    low: f32,
    high: f32,
    half: bool,
    best: Fit,
    least: f32,
}

impl Search<'_> {
    fn attempt(&mut self, scale: f32, offset: f32) {
        let fit = Fit {
            scale: stored(scale, self.half),
            offset: stored(offset, self.half),
        };
        if fit.scale.is_finite() && fit.offset.is_finite() {
            let error = fit.error(self.weights, self.low, self.high);
            if error < self.least {
                (self.least, self.best) = (error, fit);
            }
        }
    }
}

/// Parts of the range to cut off on either side.
const CUTS: [f32; 9] = [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4];

/// The scale of least squared error for integers in `low..=high`, and with `asymmetric` the offset.
///
/// A range somewhat smaller than that of the weights is finer where most of them are, at the cost of the outermost: a
/// grid of ranges is tried. For the codes of the best one, scale and offset are those of least squares.
fn fit(weights: &[f32], (low, high): (f32, f32), asymmetric: bool, half: bool) -> Fit {
    let nothing = Fit {
        scale: 0.0,
        offset: 0.0,
    };
    let mut search = Search {
        weights,
        low,
        high,
        half,
        best: nothing,
        least: f32::INFINITY,
    };
    let (mut bottom, mut top) = (f32::INFINITY, f32::NEG_INFINITY);
    for &w in weights {
        (bottom, top) = (bottom.min(w), top.max(w));
    }
    let n = weights.len() as f64;
    let mean = (weights.iter().map(|&w| f64::from(w)).sum::<f64>() / n) as f32;
    search.attempt(0.0, if asymmetric { mean } else { 0.0 });
    // Eight bits lose little anywhere.
    let cuts = &CUTS[..if high > 100.0 { 5 } else { 9 }];
    if asymmetric {
        let width = top - bottom;
        for below in &CUTS[..5] {
            for above in &CUTS[..5] {
                let scale = width * (1.0 - below - above) / (high - low);
                search.attempt(scale, bottom + width * below - low * scale);
            }
        }
    } else {
        let largest = top.max(-bottom);
        // Where the integers have one more on the negative side, that is for the larger side of the weights.
        let sign = if top > -bottom && -low > high {
            -1.0
        } else {
            1.0
        };
        for cut in cuts {
            search.attempt(sign * largest * (1.0 - cut) / -low, 0.0);
            search.attempt(largest * (1.0 - cut) / high, 0.0);
        }
    }
    let (mut q1, mut q2, mut w1, mut qw) = (0f64, 0f64, 0f64, 0f64);
    for &w in weights {
        let (q, w) = (f64::from(search.best.code(w, low, high)), f64::from(w));
        (q1, q2, w1, qw) = (q1 + q, q2 + q * q, w1 + w, qw + q * w);
    }
    if asymmetric {
        let spread = n * q2 - q1 * q1;
        if spread > 0.0 {
            let scale = (n * qw - q1 * w1) / spread;
            search.attempt(scale as f32, ((w1 - scale * q1) / n) as f32);
        }
    } else if q2 > 0.0 {
        search.attempt((qw / q2) as f32, 0.0);
    }
    search.best
}

/// A matrix in panels `[panels, k, 16]` of floats.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub floats: &'a [f32],
    pub k: usize,
    /// The leading axes: panels, or groups and panels.
    pub lead: &'a [usize],
}

impl Panels<'_> {
    fn count(&self) -> usize {
        self.lead.iter().product()
    }

    /// The shape of something with `rows` rows in each panel.
    fn shape(&self, rows: usize) -> Vec<usize> {
        [self.lead, &[rows, PANEL]].concat()
    }

    /// The column `j` of panel `p`.
    fn column(&self, p: usize, j: usize) -> impl Iterator<Item = f32> + '_ {
        let panel = &self.floats[p * self.k * PANEL..][..self.k * PANEL];
        panel.iter().skip(j).step_by(PANEL).copied()
    }
}

/// Puts codes of `bits` bits into words, `[panels, words, 16]`.
struct Words {
    bits: u32,
    rows: usize,
    words: Vec<u32>,
}

impl Words {
    fn new(panels: &Panels<'_>, bits: u32) -> Words {
        let rows = words(panels.k, bits);
        Words {
            bits,
            rows,
            words: vec![0; panels.count() * rows * PANEL],
        }
    }

    fn set(&mut self, p: usize, k: usize, j: usize, code: u32) {
        let per = 32 / self.bits as usize;
        let mask = (1 << self.bits) - 1;
        let word = &mut self.words[(p * self.rows + k / per) * PANEL + j];
        *word |= (code & mask) << (k % per * self.bits as usize);
    }

    fn part(self, panels: &Panels<'_>) -> Part {
        Part {
            dtype: DType::U32,
            shape: panels.shape(self.rows),
            bytes: self.words.iter().flat_map(|w| w.to_le_bytes()).collect(),
        }
    }
}

/// Signed integers of `bits` bits in groups of `group` weights of a column, or of the whole column where that is 0.
pub(super) fn integers(panels: &Panels<'_>, bits: u32, group: u32, asymmetric: bool) -> Compressed {
    let k = panels.k;
    let len = if group == 0 { k } else { group as usize };
    let groups = k.div_ceil(len);
    let (low, high) = (-((1 << (bits - 1)) as f32), ((1 << (bits - 1)) - 1) as f32);
    let largest = panels.floats.iter().fold(0f32, |m, w| m.max(w.abs()));
    let half = largest / high >= LEAST_HALF_SCALE && largest < 65504.0;
    let mut codes = Words::new(panels, bits);
    let mut fits = vec![
        Fit {
            scale: 0.0,
            offset: 0.0
        };
        panels.count() * groups * PANEL
    ];
    let mut approximate = vec![0f32; panels.floats.len()];
    for p in 0..panels.count() {
        for j in 0..PANEL {
            let column: Vec<f32> = panels.column(p, j).collect();
            for (g, weights) in column.chunks(len).enumerate() {
                let fit = fit(weights, (low, high), asymmetric, half);
                fits[(p * groups + g) * PANEL + j] = fit;
                for (i, &w) in weights.iter().enumerate() {
                    let (at, q) = (g * len + i, fit.code(w, low, high));
                    codes.set(p, at, j, q as i32 as u32);
                    approximate[(p * k + at) * PANEL + j] = q * fit.scale + fit.offset;
                }
            }
        }
    }
    let factors = |of: &dyn Fn(&Fit) -> f32| Part {
        dtype: if half { DType::F16 } else { DType::F32 },
        shape: panels.shape(groups),
        bytes: fits
            .iter()
            .flat_map(|fit| match half {
                true => f16::from_f32(of(fit)).to_le_bytes().to_vec(),
                false => of(fit).to_le_bytes().to_vec(),
            })
            .collect(),
    };
    let parts = [
        Some(codes.part(panels)),
        Some(factors(&|f| f.scale)),
        asymmetric.then(|| factors(&|f| f.offset)),
        None,
    ];
    Compressed {
        bits,
        group,
        parts,
        snr_db: snr(panels.floats.iter().copied(), approximate.into_iter()),
    }
}

/// Depth from which a panel has a table of its own: with 16 values that is a bit for every two weights or less.
const OWN_TABLE: usize = 64;

/// Positions of `bits` bits in a table of each panel, or of the whole matrix where panels are small.
pub(super) fn table(panels: &Panels<'_>, bits: u32) -> Compressed {
    let size = panels.k * PANEL;
    let own = panels.k >= OWN_TABLE && bits <= 4;
    let step = if own { size } else { panels.floats.len() };
    // Columns that are not there say nothing of those that are.
    let there = |p: usize, j: usize| panels.column(p, j).any(|w| w != 0.0);
    let columns: Vec<(usize, usize)> = (0..panels.count() * PANEL)
        .map(|c| (c / PANEL, c % PANEL))
        .filter(|&(p, j)| there(p, j))
        .collect();
    let tables: Vec<Vec<f32>> = (0..panels.floats.len() / step.max(1))
        .map(|t| {
            let mine = columns.iter().filter(|c| !own || c.0 == t);
            let weights = mine.flat_map(|&(p, j)| panels.column(p, j));
            palette::table(weights, 1 << bits)
        })
        .collect();
    let mut codes = Words::new(panels, bits);
    let mut approximate = vec![0f32; panels.floats.len()];
    for (at, &w) in panels.floats.iter().enumerate() {
        let table = &tables[at / step];
        let code = palette::nearest(table, w);
        codes.set(at / size, at / PANEL % panels.k, at % PANEL, code as u32);
        approximate[at] = table[code];
    }
    let part = Part {
        dtype: DType::F32,
        shape: vec![tables.len(), 1 << bits],
        bytes: tables
            .iter()
            .flatten()
            .flat_map(|v| v.to_le_bytes())
            .collect(),
    };
    Compressed {
        bits,
        group: 0,
        parts: [Some(codes.part(panels)), None, None, Some(part)],
        snr_db: snr(panels.floats.iter().copied(), approximate.into_iter()),
    }
}

/// A matrix as 8-bit integers of a scale a column, for products of integers.
pub(super) struct Columns {
    /// `[k, n]`.
    pub ints: Vec<i8>,
    pub sums: Vec<i32>,
    pub scales: Vec<f32>,
    pub snr_db: f64,
}

/// 8-bit integers, of `n` columns.
pub(super) fn columns(panels: &Panels<'_>, n: usize) -> Columns {
    let k = panels.k;
    let mut out = Columns {
        ints: vec![0; k * n],
        sums: Vec::new(),
        scales: Vec::new(),
        snr_db: 0.0,
    };
    let mut approximate = vec![0f32; k * n];
    let mut exact = vec![0f32; k * n];
    for j in 0..n {
        let column: Vec<f32> = panels.column(j / PANEL, j % PANEL).collect();
        // Without the integer that has no negative, so scales are positive.
        let fit = fit(&column, (-127.0, 127.0), false, false);
        let mut sum = 0;
        for (i, &w) in column.iter().enumerate() {
            let q = fit.code(w, -127.0, 127.0);
            out.ints[i * n + j] = q as i8;
            sum += q as i32;
            approximate[i * n + j] = q * fit.scale;
            exact[i * n + j] = w;
        }
        out.sums.push(sum);
        out.scales.push(fit.scale);
    }
    out.snr_db = snr(exact.into_iter(), approximate.into_iter());
    out
}

/// The rows of a table as 8-bit integers of a scale a row, for look-ups: integers, scales, signal to noise.
pub(super) fn rows(table: &[f32], width: usize) -> (Vec<i8>, Vec<f32>, f64) {
    let mut ints = Vec::with_capacity(table.len());
    let mut scales = Vec::new();
    let mut approximate = Vec::with_capacity(table.len());
    for row in table.chunks(width.max(1)) {
        let fit = fit(row, (-127.0, 127.0), false, false);
        scales.push(fit.scale);
        for &w in row {
            let q = fit.code(w, -127.0, 127.0);
            ints.push(q as i8);
            approximate.push(q * fit.scale);
        }
    }
    let snr_db = snr(table.iter().copied(), approximate.into_iter());
    (ints, scales, snr_db)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeded values, nearly normal.
    fn bell(n: usize, seed: u64) -> Vec<f32> {
        let uniform = |i: u64| {
            let z = (i ^ seed << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let z = (z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((z ^ (z >> 32)) >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let one = |i: usize| (0..4).map(|k| uniform(i as u64 * 4 + k)).sum();
        (0..n).map(one).collect()
    }

    #[test]
    fn searched_scales_beat_the_full_range() {
        let all = bell(32 * 200, 1);
        let (mut searched, mut full, mut offset) = (0f32, 0f32, 0f32);
        for weights in all.chunks(32) {
            let error =
                |asymmetric| fit(weights, (-8.0, 7.0), asymmetric, false).error(weights, -8.0, 7.0);
            searched += error(false);
            offset += error(true);
            let largest = weights.iter().fold(0f32, |m, w| m.max(w.abs()));
            let plain = Fit {
                scale: largest / 7.0,
                offset: 0.0,
            };
            full += plain.error(weights, -8.0, 7.0);
        }
        assert!(searched < 0.85 * full, "{searched} against {full}");
        assert!(offset < searched, "{offset} against {searched}");
    }

    #[test]
    fn groups_that_have_no_range() {
        for half in [false, true] {
            assert_eq!(fit(&[0.0; 9], (-8.0, 7.0), false, half).scale, 0.0);
            let same = fit(&[0.5; 9], (-8.0, 7.0), true, half);
            assert_eq!(same.code(0.5, -8.0, 7.0) * same.scale + same.offset, 0.5);
            let one = fit(&[0.0, -3.0, 0.0], (-8.0, 7.0), false, half);
            let back = one.code(-3.0, -8.0, 7.0) * one.scale;
            assert!((back + 3.0).abs() < 2e-3, "{back}");
        }
    }

    #[test]
    fn more_bits_lose_less() {
        let (k, lead) = (70, [2]);
        let floats = bell(2 * k * PANEL, 2);
        let panels = Panels {
            floats: &floats,
            k,
            lead: &lead,
        };
        let db: Vec<f64> = [2, 4, 8]
            .map(|bits| integers(&panels, bits, 32, false).snr_db)
            .to_vec();
        assert!(
            db[0] > 5.0 && db[1] > db[0] + 10.0 && db[2] > db[1] + 20.0,
            "{db:?}"
        );
        assert!(integers(&panels, 4, 32, true).snr_db > db[1]);
        assert!(table(&panels, 4).snr_db > 15.0);
        assert!(columns(&panels, 31).snr_db > 35.0);
        assert!(halves(&floats, &[2, k, PANEL]).unwrap().snr_db > 60.0);
        assert!(halves(&[7e4], &[1]).is_none());
    }

    #[test]
    fn the_kernels_read_what_is_written() {
        use cygnet_kernels::compressed::{Codes, Factors, Weights};
        let (k, lead) = (70, [2]);
        let floats = bell(2 * k * PANEL, 3);
        let panels = Panels {
            floats: &floats,
            k,
            lead: &lead,
        };
        let made = integers(&panels, 4, 32, true);
        let [codes, scales, offsets, _] = &made.parts;
        let words = |p: &Part| -> Vec<u32> {
            let words = p.bytes.as_chunks::<4>().0.iter();
            words.map(|b| u32::from_le_bytes(*b)).collect()
        };
        let factors = |p: &Option<Part>| -> Vec<f16> {
            let bytes = &p.as_ref().unwrap().bytes;
            let halves = bytes.as_chunks::<2>().0.iter();
            halves.map(|b| f16::from_le_bytes(*b)).collect()
        };
        let (words, scales) = (words(codes.as_ref().unwrap()), factors(scales));
        let offsets = factors(offsets);
        let w = Weights {
            k,
            n: 32,
            codes: Codes::Integers {
                words: &words,
                bits: 4,
                group: 32,
                scales: Factors::F16(&scales),
                offsets: Some(Factors::F16(&offsets)),
            },
        };
        let mut out = vec![0f32; floats.len()];
        cygnet_kernels::Kernels::best()
            .expand_weights(&w, 0..2, &mut out)
            .unwrap();
        let db = snr(floats.iter().copied(), out.into_iter());
        assert!(
            (db - made.snr_db).abs() < 1e-3,
            "{db} against {}",
            made.snr_db
        );
    }
}
