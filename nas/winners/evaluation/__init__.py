"""What a trained model can do: text it was not trained on, recall over a length, tasks of lm-evaluation-harness."""
