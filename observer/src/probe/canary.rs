use super::CgroupRoot;
use crate::model::Event;
pub struct Canary;
impl Canary {
    pub fn fly(_: &CgroupRoot) -> std::io::Result<Self> {
        Err(std::io::Error::other("stub"))
    }
    pub fn claims(&mut self, _: &Event<'_>) -> bool {
        false
    }
    pub fn seen(&self) -> bool {
        false
    }
}
