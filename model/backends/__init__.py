"""What computes a network: TensorFlow, the reference, or OpenVINO, which is faster on CPUs."""
