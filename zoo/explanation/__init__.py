"""Why a model answers as it does: attributions of its answers, gates over time, and similar training examples."""
