//! Budgets of RAM and flash, and what would keep them.

use crate::command::footprint::Footprint;
use crate::sizes;
use cygnet_compiler::bundle::{MemoryMap, Remedy, remedies_for_flash, remedies_for_ram};
use cygnet_format::Program;

/// What `--max-ram` and `--max-flash` allow, and the program they are for.
pub struct Budgets<'a> {
    pub max_ram: Option<u64>,
    pub max_flash: Option<u64>,
    /// The arena before `--fit` lowered it.
    pub before: Option<u64>,
    pub program: &'a Program<'a>,
    pub map: &'a MemoryMap,
}

fn list(remedies: &[Remedy]) -> String {
    if remedies.is_empty() {
        return "; smaller inputs lower it".into();
    }
    let lines: Vec<String> = remedies
        .iter()
        .map(|r| format!("\n    {}", r.text()))
        .collect();
    format!("; what would lower it:{}", lines.concat())
}

impl Budgets<'_> {
    /// The sentence of an arena that is too large, by itself or with a stack.
    pub fn ram(&self, arena: u64, stack: Option<u64>) -> Option<String> {
        let needed = arena + stack.unwrap_or(0);
        let budget = self.max_ram.filter(|&m| needed > m)?;
        let what = match stack {
            None => format!("the arena needs {arena} bytes"),
            Some(stack) => format!("the arena needs {arena} bytes and the stack {stack}"),
        };
        let what = match self.before {
            None => what,
            Some(before) => {
                format!("{what} (without --fit {before} bytes; bands cannot lower it further)")
            }
        };
        let remedies = remedies_for_ram(self.program, self.map, budget, stack.unwrap_or(0));
        Some(format!(
            "RAM: {what}, --max-ram allows {budget}: {}; smaller inputs or --dim bounds lower it{}",
            self.map.peak_text(),
            match remedies.is_empty() {
                true => String::new(),
                false => list(&remedies).replacen("; what would lower it", ", and these", 1),
            }
        ))
    }

    /// The sentence of a program that is too large: `needed` bytes, of which `weights` are constants.
    pub fn flash(&self, what: &str, needed: u64, weights: u64) -> Option<String> {
        let budget = self.max_flash.filter(|&m| needed > m)?;
        let remedies = remedies_for_flash(self.program, budget, needed.saturating_sub(weights));
        Some(format!(
            "flash: {what} {needed} bytes, --max-flash allows {budget}: {weights} of it are constants{}",
            match remedies.is_empty() {
                true => "; a smaller model lowers it".to_owned(),
                false => list(&remedies),
            }
        ))
    }

    /// What a processor cannot give.
    pub fn on(&self, footprint: &Footprint) -> Vec<String> {
        let of = &footprint.of;
        [
            self.ram(of.static_bytes, Some(of.stack_bytes)),
            self.flash("the model takes", of.flash_bytes, of.weight_bytes),
        ]
        .into_iter()
        .flatten()
        .map(|text| {
            format!(
                "{} (RAM {}, flash {}): {text}",
                footprint.cpu,
                sizes::show(of.ram_bytes),
                sizes::show(of.flash_bytes)
            )
        })
        .collect()
    }
}
