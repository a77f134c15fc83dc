"""All compiled code, and its compilation: the algebra of Gaussian weights, of divisions and of sparse fields.

Enters: functions of numbers and arrays that know no model.
"""
