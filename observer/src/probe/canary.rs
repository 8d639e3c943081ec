pub struct Canary;
