//! Handles: numbers that stand for objects, so that a stale or wrong one is found out and never followed.

use std::sync::{PoisonError, RwLock};

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

/// Objects by handle. A handle holds the position of a slot and the generation of what was put there: once it is removed, the
/// handle never means anything again.
pub struct Registry<T>(RwLock<Slots<T>>);

/// Handles are positive numbers for Java.
const LAST_GENERATION: u32 = i32::MAX as u32;

impl<T: Clone> Registry<T> {
    /// Without objects.
    pub const fn new() -> Self {
        Registry(RwLock::new(Slots {
            slots: Vec::new(),
            free: Vec::new(),
        }))
    }

    /// Adds an object; `None` when there are more than four billion.
    pub fn insert(&self, value: T) -> Option<i64> {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let at = match all.free.pop() {
            Some(at) => at,
            None => {
                let at = u32::try_from(all.slots.len()).ok()?;
                all.slots.push(Slot {
                    generation: 1,
                    value: None,
                });
                at
            }
        };
        let slot = &mut all.slots[at as usize];
        slot.value = Some(value);
        Some((i64::from(slot.generation) << 32) | i64::from(at))
    }

    fn place(handle: i64) -> (u32, usize) {
        ((handle >> 32) as u32, handle as u32 as usize)
    }

    /// The object of a handle, while it is there.
    pub fn get(&self, handle: i64) -> Option<T> {
        let (generation, at) = Self::place(handle);
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let slot = all.slots.get(at)?;
        match slot.generation == generation {
            true => slot.value.clone(),
            false => None,
        }
    }

    /// Takes an object out; `None` when it is not there any more.
    pub fn remove(&self, handle: i64) -> Option<T> {
        let (generation, at) = Self::place(handle);
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let slot = all.slots.get_mut(at)?;
        if slot.generation != generation {
            return None;
        }
        let value = slot.value.take()?;
        // A slot whose generations are used up stays empty.
        if slot.generation < LAST_GENERATION {
            slot.generation += 1;
            all.free.push(at as u32);
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_means_one_object_for_ever() {
        let registry = Registry::new();
        assert_eq!(registry.get(0), None);
        assert_eq!(registry.get(-1), None);
        let a = registry.insert('a').unwrap();
        let b = registry.insert('b').unwrap();
        assert_eq!((registry.get(a), registry.get(b)), (Some('a'), Some('b')));
        assert_eq!(registry.remove(a), Some('a'));
        assert_eq!((registry.get(a), registry.remove(a)), (None, None));
        let c = registry.insert('c').unwrap();
        assert_eq!(c as u32, a as u32, "the slot is used again");
        assert_eq!((registry.get(a), registry.get(c)), (None, Some('c')));
        assert_eq!(registry.remove(a), None);
        assert_eq!(registry.get(c), Some('c'));
    }

    #[test]
    fn used_up_slots_stay_empty() {
        let registry = Registry::new();
        let a = registry.insert(1).unwrap();
        registry.remove(a).unwrap();
        registry.0.write().unwrap().slots[0].generation = LAST_GENERATION;
        let last = registry.insert(2).unwrap();
        assert!(last > 0);
        registry.remove(last).unwrap();
        let next = registry.insert(3).unwrap();
        assert_ne!(next as u32, last as u32);
        assert_eq!(registry.get(last), None);
    }
}
