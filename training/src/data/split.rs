//! Splits into training, validation and test samples, by content or by group: what is equal or belongs together lies in
//! one part, whatever else the data holds, so that nothing leaks and added data moves nothing.
use super::Samples;
use crate::error::TrainingError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Shares of the samples that are kept back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// For choosing: early stopping, the best checkpoint.
    pub validation: f32,
    /// For the figures that are reported.
    pub test: f32,
}

/// Groups that are a part. Where none are named, the shares decide.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named<'a> {
    /// Those of the validation samples.
    pub validation: &'a [String],
    /// Those of the test samples.
    pub test: &'a [String],
}

/// Numbers of samples by part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Split {
    /// What is learnt from.
    pub train: Vec<usize>,
    /// What is chosen by.
    pub validation: Vec<usize>,
    /// What is reported.
    pub test: Vec<usize>,
}

/// Which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Train,
    Validation,
    Test,
}

impl Shares {
    /// The part of what has this digest.
    fn part(self, digest: &[u8]) -> Part {
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        let at = u64::from_be_bytes(first) as f64 / u64::MAX as f64;
        let (validation, test) = (f64::from(self.validation), f64::from(self.test));
        if at < test {
            Part::Test
        } else if at < test + validation {
            Part::Validation
        } else {
            Part::Train
        }
    }
}

impl Split {
    fn of(n: usize, part: impl Fn(usize) -> Part) -> Self {
        let mut split = Self::default();
        for i in 0..n {
            match part(i) {
                Part::Train => split.train.push(i),
                Part::Validation => split.validation.push(i),
                Part::Test => split.test.push(i),
            }
        }
        split
    }

    /// Splits by the SHA-256 of each sample's values.
    pub fn by_content(samples: &Samples, shares: Shares) -> Self {
        Self::of(samples.len(), |i| {
            shares.part(&Sha256::digest(samples.bytes(i)))
        })
    }

    /// Splits by the SHA-256 of the names of groups, but for parts whose groups are named. Groups that share an equal sample lie in
    /// one part.
    ///
    /// # Errors
    /// Names of groups that are not there, or groups that share a sample and are named for two parts.
    pub fn by_group(
        samples: &Samples,
        shares: Shares,
        named: Named<'_>,
    ) -> Result<Self, TrainingError> {
        let mut names: Vec<&str> = samples.groups.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        let place = |name: &str| names.binary_search(&name).ok();
        // By group: another that it shares samples with, or itself.
        let mut joined: Vec<usize> = (0..names.len()).collect();
        let mut seen: BTreeMap<[u8; 32], usize> = BTreeMap::new();
        for (i, group) in samples.groups.iter().enumerate() {
            let group = place(group).unwrap_or(0);
            let digest = Sha256::digest(samples.bytes(i)).into();
            let other = *seen.entry(digest).or_insert(group);
            let (a, b) = (root(&joined, group), root(&joined, other));
            joined[a.max(b)] = a.min(b);
        }
        let mut fixed: BTreeMap<usize, (Part, &str)> = BTreeMap::new();
        let wanted = [
            (named.validation, Part::Validation),
            (named.test, Part::Test),
        ];
        for (chosen, part) in wanted {
            for name in chosen {
                let Some(group) = place(name) else {
                    return Err(TrainingError::Project(format!(
                        "[data] no sample is of the group `{name}`: the groups are {}{}",
                        names[..names.len().min(20)].join(", "),
                        if names.len() > 20 { ", ..." } else { "" }
                    )));
                };
                let of = (part, name.as_str());
                if let Some((other, known)) = fixed.insert(root(&joined, group), of)
                    && other != part
                {
                    return Err(TrainingError::Project(format!(
                        "[data] the groups `{known}` and `{name}` hold equal samples, or are one, and cannot be in two parts"
                    )));
                }
            }
        }
        // Named groups are the whole of a part.
        let share = |names: &[String], share| if names.is_empty() { share } else { 0.0 };
        let shares = Shares {
            validation: share(named.validation, shares.validation),
            test: share(named.test, shares.test),
        };
        let part = |group: usize| {
            let group = root(&joined, group);
            match fixed.get(&group) {
                Some((part, _)) => *part,
                None => shares.part(&Sha256::digest(names[group])),
            }
        };
        Ok(Self::of(samples.len(), |i| {
            place(&samples.groups[i]).map_or(Part::Train, part)
        }))
    }
}

/// The first of the groups that are one.
fn root(joined: &[usize], mut group: usize) -> usize {
    while joined[group] != group {
        group = joined[group];
    }
    group
}

#[cfg(test)]
mod tests {
    use super::super::Values;
    use super::*;

    const SHARES: Shares = Shares {
        validation: 0.2,
        test: 0.1,
    };

    fn samples(n: u32, each: u32) -> Samples {
        let values = (0..n).flat_map(|i| [(i % each % 256) as u8, (i % each / 256) as u8]);
        Samples {
            shape: [1, 2, 1],
            classes: vec!["a".into()],
            values: Values::Bytes(values.collect()),
            labels: vec![0; n as usize],
            ..Samples::default()
        }
    }

    #[test]
    fn equal_samples_lie_in_one_part() {
        let split = Split::by_content(&samples(2000, 1000), SHARES);
        assert!(
            (330..470).contains(&split.validation.len()),
            "{}",
            split.validation.len()
        );
        assert!(
            (150..260).contains(&split.test.len()),
            "{}",
            split.test.len()
        );
        for part in [&split.train, &split.validation, &split.test] {
            for i in part.iter().filter(|i| **i < 1000) {
                assert!(part.contains(&(i + 1000)));
            }
        }
    }

    #[test]
    fn groups_are_not_parted() {
        let mut samples = samples(1000, 1000);
        samples.groups = (0..1000).map(|i| format!("g{}", i % 50)).collect();
        let names = [["g7".to_owned()], ["g8".to_owned()]];
        let named = Named {
            validation: &names[0],
            test: &names[1],
        };
        let split = Split::by_group(&samples, SHARES, named).unwrap();
        let parts = [&split.train, &split.validation, &split.test];
        let of = |part: &[usize]| {
            let groups = part.iter().map(|i| samples.groups[*i].clone());
            groups.collect::<std::collections::BTreeSet<_>>()
        };
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            assert!(of(parts[a]).is_disjoint(&of(parts[b])));
        }
        assert_eq!((split.train.len(), split.test.len()), (960, 20));
        assert!(of(&split.validation).contains("g7") && of(&split.test).contains("g8"));
        let hashed = Split::by_group(&samples, SHARES, Named::default()).unwrap();
        let parts = [&hashed.train, &hashed.validation, &hashed.test].map(|p| of(p));
        assert!(parts.iter().all(|p| p.len() >= 2), "{parts:?}");
        assert_eq!(parts.iter().map(|p| p.len()).sum::<usize>(), 50);
    }

    #[test]
    fn groups_with_equal_samples_are_one() {
        // Sample 100 + i equals sample i: groups a and b, c and d go together.
        let mut samples = samples(200, 100);
        samples.groups = (0..200)
            .map(|i| ["a", "c", "b", "d"][i / 50].to_owned())
            .collect();
        let test = ["b".to_owned()];
        let split = |validation: &[String]| {
            let named = Named {
                validation,
                test: &test,
            };
            Split::by_group(&samples, SHARES, named)
        };
        let parts = split(&[]).unwrap();
        for i in (0..50).chain(100..150) {
            assert!(parts.test.contains(&i));
        }
        let wrong = |validation: &[String]| split(validation).unwrap_err().to_string();
        let both = wrong(&["a".to_owned()]);
        assert!(both.contains("equal samples"), "{both}");
        let absent = wrong(&["x".to_owned()]);
        assert!(
            absent.contains("`x`") && absent.contains("a, b, c, d"),
            "{absent}"
        );
    }
}
