pub struct Feature;
pub struct FeatureState;
pub fn features() {}
