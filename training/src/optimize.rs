//! Optimisers: one pass over the parameters a step.
use crate::network::{Gradients, Network};
use crate::op::work::{kernels, refused};
use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var};
use cygnet_kernels::gradient;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Which rule, with its constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
    AdamW {
        /// Decay of the mean of gradients.
        beta1: f32,
        /// Decay of the mean of squared gradients.
        beta2: f32,
        /// Against division by zero.
        epsilon: f32,
    },
    /// Gradient descent with momentum.
    Sgd {
        /// Decay of the velocity.
        momentum: f32,
        /// Nesterov's form.
        nesterov: bool,
    },
}

impl Rule {
    /// AdamW with the constants of its paper.
    pub const ADAMW: Self = Self::AdamW {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
    };
    /// Nesterov's momentum of 0.9.
    pub const SGD: Self = Self::Sgd {
        momentum: 0.9,
        nesterov: true,
    };
}

/// State of one parameter: means of gradients and of their squares, or the velocity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// Mean of gradients, or velocity.
    pub first: Vec<f32>,
    /// Mean of squared gradients; empty for [`Rule::Sgd`].
    pub second: Vec<f32>,
}

/// An optimiser of one network.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    /// Weight decay; biases and normalisations have none.
    decay: f32,
    /// Steps done.
    pub steps: u32,
    /// State by parameter.
    pub moments: BTreeMap<String, Moments>,
}

impl Optimizer {
    /// An optimiser that has done no step.
    pub fn new(rule: Rule, decay: f32) -> Self {
        Self {
            rule,
            decay,
            steps: 0,
            moments: BTreeMap::new(),
        }
    }

    /// One step along the gradients, times `gradient_scale`.
    ///
    /// # Errors
    /// Gradients of another shape.
    pub fn step(
        &mut self,
        network: &Network,
        gradients: &Gradients,
        rate: f32,
        gradient_scale: f32,
    ) -> Result<()> {
        self.steps += 1;
        for name in network.parameters.keys() {
            self.moments.entry(name.clone()).or_default();
        }
        let (rule, decay, step) = (self.rule, self.decay, self.steps);
        self.moments.par_iter_mut().try_for_each(|(name, moments)| {
            let Some(var) = network.parameters.get(name) else {
                return Ok(());
            };
            let Some(gradient) = gradients.get(name) else {
                return Ok(());
            };
            let n = var.elem_count();
            moments.first.resize(n, 0.0);
            if matches!(rule, Rule::AdamW { .. }) {
                moments.second.resize(n, 0.0);
            }
            let update = Update {
                rule,
                rate,
                decay: if name.ends_with(".weight") {
                    decay
                } else {
                    0.0
                },
                step,
                gradient_scale,
                moments: Mutex::new(moments),
            };
            if var.device().is_cpu() {
                var.inplace_op2(&gradient.contiguous()?, &update)
            } else {
                update.by_candle(var, gradient)
            }
        })
    }
}

struct Update<'a> {
    rule: Rule,
    rate: f32,
    decay: f32,
    step: u32,
    gradient_scale: f32,
    moments: Mutex<&'a mut Moments>,
}

impl Update<'_> {
    fn run(&self, weights: &mut [f32], gradient: &[f32]) -> Result<()> {
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let Moments { first, second } = &mut **moments;
        let done = match self.rule {
            Rule::AdamW {
                beta1,
                beta2,
                epsilon,
            } => {
                let p = gradient::AdamW {
                    rate: self.rate,
                    beta1,
                    beta2,
                    epsilon,
                    decay: self.decay,
                    step: self.step,
                    gradient_scale: self.gradient_scale,
                };
                kernels().adamw(&p, weights, gradient, first, second)
            }
            Rule::Sgd { momentum, nesterov } => {
                let p = gradient::Momentum {
                    rate: self.rate,
                    momentum,
                    nesterov,
                    decay: self.decay,
                    gradient_scale: self.gradient_scale,
                };
                kernels().momentum(&p, weights, gradient, first)
            }
        };
        done.map_err(refused)
    }

    /// On a device without kernels here: on the host, and back.
    fn by_candle(&self, var: &Var, gradient: &Tensor) -> Result<()> {
        let mut weights = var.flatten_all()?.to_vec1::<f32>()?;
        self.run(&mut weights, &gradient.flatten_all()?.to_vec1::<f32>()?)?;
        var.set(&Tensor::from_vec(weights, var.shape(), var.device())?)
    }
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "optimiser-step"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let (Some((begin, end)), Some((g0, g1))) = (
            layout.contiguous_offsets(),
            gradient_layout.contiguous_offsets(),
        ) else {
            candle_core::bail!("parameters and gradients are contiguous");
        };
        let CpuStorage::F32(weights) = weights else {
            candle_core::bail!("parameters are f32");
        };
        self.run(
            &mut weights[begin..end],
            &gradient.as_slice::<f32>()?[g0..g1],
        )
    }
}
