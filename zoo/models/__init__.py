"""The models, one LightningModule a task, and what they share."""
