//! Tells whether the target has the Arm DSP extension and a floating-point unit that passes arguments: stable compilers
//! keep that from `cfg(target_feature)`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(arm_dsp, arm_vfp)");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let named = variable("CARGO_CFG_TARGET_FEATURE")
        .split(',')
        .any(|feature| feature == "dsp");
    // Armv7E-M has the extension by definition.
    let implied = variable("TARGET").starts_with("thumbv7em");
    if variable("CARGO_CFG_TARGET_ARCH") == "arm" && (named || implied) {
        println!("cargo:rustc-cfg=arm_dsp");
        if variable("CARGO_CFG_TARGET_ABI") == "eabihf" {
            println!("cargo:rustc-cfg=arm_vfp");
        }
    }
}
