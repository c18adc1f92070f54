pub(super) struct Toy;
